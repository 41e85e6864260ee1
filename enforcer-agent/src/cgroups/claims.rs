//! Whose a cgroup is, by its path and what the workloads claim.
//!
//! - The nearest cgroup on the way up that a workload claims decides.
//! - A `cgroup` match is for that cgroup alone, or with `/**` for its descendants as well. What stands below one that was claimed alone, and is
//!   claimed by nobody, is unknown.
//! - A `unit` match is for the system's unit of that name: every cgroup above it, up to the root, is a slice. Units of users' own
//!   managers have their service above them, so they can't take a system unit's name. Below `user.slice` only what names sessions or users is looked for.
//! - A container's cgroup that nobody claims is whose its engine's source says; until then it is unknown.
//! - Everything else is the host's.
//!
//! A cgroup that has just been made is unknown for as long as nobody has looked at it, where a claim might be for it: below every cgroup that is above a claim.

use enforcer_common::maps::{Cgroup, Subject};
use enforcer_policy::model::WorkloadMatch;
use std::collections::{HashMap, HashSet};

/// Whose packets aren't judged at sockets, because they are met at a device of theirs. No identity has this number.
pub(crate) const ELSEWHERE: u32 = Subject::hosted(Subject::IDENTITIES - 1);

/// Where a container engine puts cgroups: in a directory, under names that begin and end so. What stands there and is nobody's is
/// a container that isn't known yet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Up to the container's id.
    pub(crate) before: String,
    /// Behind it.
    pub(crate) after: String,
    /// Whether ids are 64 hexadecimal digits; other names there are then the engine's own.
    pub(crate) is_hash: bool,
}

impl Place {
    fn is_of(&self, path: &str) -> bool {
        let id = path.strip_prefix(&self.before).and_then(|rest| rest.strip_suffix(self.after.as_str()));
        id.is_some_and(|id| match self.is_hash {
            true => id.len() == 64 && id.bytes().all(|digit| digit.is_ascii_hexdigit()),
            false => !id.is_empty() && !id.contains('/'),
        })
    }
}

/// What workloads claim, with the numbers of those who do.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Claims {
    /// Path of the cgroup that is the root of it all.
    root: String,
    /// Who has what nobody claims.
    host: u32,
    units: HashMap<String, u32>,
    /// By path: who, and whether with descendants.
    paths: HashMap<String, (u32, bool)>,
    /// Cgroups above a claimed path.
    above: HashSet<String>,
    places: Vec<Place>,
}

/// Who has a cgroup, and who its descendants that nobody claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Owner {
    number: u32,
    below: u32,
}

impl Claims {
    /// No claims yet, on the cgroups below `root`, of which `host` has the rest.
    pub(crate) fn new(root: &str, host: u32) -> Self {
        Self { root: root.to_owned(), host, ..Self::default() }
    }

    /// One more, of the workload with this number. Others than of units and cgroups claim nothing here.
    pub(crate) fn add(&mut self, number: u32, matched: &WorkloadMatch) {
        match matched {
            WorkloadMatch::Unit(unit) => {
                self.units.insert(unit.clone(), number);
            }
            WorkloadMatch::Cgroup { path, descendants } => {
                let mut above = path.as_str();
                while let Some((parent, _)) = above.rsplit_once('/') {
                    self.above.insert(if parent.is_empty() { "/".to_owned() } else { parent.to_owned() });
                    above = parent;
                }
                self.paths.insert(path.clone(), (number, *descendants));
            }
            WorkloadMatch::Container { .. } | WorkloadMatch::Interface(_) => {}
        }
    }

    /// Says whose a container's cgroup is, with all below it. Its engine tells of it before anything runs there.
    pub(crate) fn assign(&mut self, path: &str, number: u32) {
        self.paths.entry(path.to_owned()).or_insert((number, true));
    }

    /// Says where engines put containers.
    pub(crate) fn watch(&mut self, places: &[Place]) {
        self.places = places.to_vec();
    }

    /// Who has what nobody claims.
    pub(crate) fn host(&self) -> u32 {
        self.host
    }

    /// Whose the cgroup at this path is, as the kernel is to be told.
    pub(crate) fn classify(&self, path: &str) -> Cgroup {
        let below = path.strip_prefix(self.root.trim_end_matches('/')).unwrap_or(path);
        let mut owner = Owner { number: self.host, below: self.host };
        let mut at = self.root.trim_end_matches('/').to_owned();
        owner = self.claimed(if at.is_empty() { "/" } else { &at }).unwrap_or(owner);
        // Whether all from the root to here are slices.
        let mut slices = true;
        for name in below.split('/').filter(|name| !name.is_empty()) {
            at.push('/');
            at.push_str(name);
            let unit = || {
                let number = self.unit(name, &at).filter(|_| slices)?;
                Some(Owner { number, below: number })
            };
            let inherited = Owner { number: owner.below, below: owner.below };
            let unknown = Owner { number: Subject::UNKNOWN, below: Subject::UNKNOWN };
            let place = || self.places.iter().any(|place| place.is_of(&at)).then_some(unknown);
            owner = self.claimed(&at).or_else(unit).or_else(place).unwrap_or(inherited);
            slices &= unescape(name).ends_with(".slice");
        }
        let here = if at.is_empty() { "/" } else { &at };
        let unit_may_come = slices && !self.units.is_empty() && (!self.is_users(here) || self.names_users());
        let watched = unit_may_come || self.above.contains(here);
        Cgroup { number: owner.number, below: if watched { Subject::UNKNOWN } else { owner.below } }
    }

    fn claimed(&self, path: &str) -> Option<Owner> {
        let (number, descendants) = *self.paths.get(path)?;
        Some(Owner { number, below: if descendants { number } else { Subject::UNKNOWN } })
    }

    fn unit(&self, name: &str, path: &str) -> Option<u32> {
        let name = unescape(name);
        let number = *self.units.get(name)?;
        (!self.is_users(path) || is_of_users(name)).then_some(number)
    }

    /// Whether a path is that of `user.slice` or of something in it.
    fn is_users(&self, path: &str) -> bool {
        let below = path.strip_prefix(self.root.trim_end_matches('/')).unwrap_or(path);
        below.split('/').nth(1) == Some("user.slice")
    }

    fn names_users(&self) -> bool {
        self.units.keys().any(|unit| is_of_users(unit))
    }
}

fn is_of_users(unit: &str) -> bool {
    ["user-", "user@", "session-", "user.slice"].iter().any(|start| unit.starts_with(start))
}

/// A unit's name as its cgroup has it: systemd puts `_` before what could be taken for a file of the cgroup.
fn unescape(name: &str) -> &str {
    name.strip_prefix('_').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: u32 = Subject::hosted(1);
    const DB: u32 = Subject::hosted(2);
    const WEB: u32 = Subject::hosted(3);
    const UNKNOWN: u32 = Subject::UNKNOWN;

    fn claims(root: &str, of: &[(u32, WorkloadMatch)]) -> Claims {
        let mut claims = Claims::new(root, HOST);
        of.iter().for_each(|(number, matched)| claims.add(*number, matched));
        claims
    }

    fn unit(name: &str) -> WorkloadMatch {
        WorkloadMatch::Unit(name.to_owned())
    }

    fn cgroup(path: &str, descendants: bool) -> WorkloadMatch {
        WorkloadMatch::Cgroup { path: path.to_owned(), descendants }
    }

    fn whose(claims: &Claims, path: &str) -> (u32, u32) {
        let Cgroup { number, below } = claims.classify(path);
        (number, below)
    }

    #[test]
    fn a_unit_has_its_cgroup_and_all_below_wherever_its_slice_is() {
        let claims = claims("/", &[(DB, unit("postgresql.service"))]);
        for slice in ["/system.slice", "/prod.slice/prod-db.slice", ""] {
            assert_eq!(whose(&claims, &format!("{slice}/postgresql.service")), (DB, DB));
            assert_eq!(whose(&claims, &format!("{slice}/postgresql.service/a/b")), (DB, DB));
        }
        assert_eq!(whose(&claims, "/system.slice/_postgresql.service"), (DB, DB));
        assert_eq!(whose(&claims, "/system.slice/ssh.service"), (HOST, HOST));
        // What is new there may be it.
        assert_eq!(whose(&claims, "/system.slice"), (HOST, UNKNOWN));
        assert_eq!(whose(&claims, "/"), (HOST, UNKNOWN));
    }

    #[test]
    fn a_users_unit_of_the_same_name_is_not_the_systems() {
        let claims = claims("/", &[(DB, unit("postgresql.service"))]);
        let users = "/user.slice/user-1000.slice/user@1000.service/app.slice/postgresql.service";
        assert_eq!(whose(&claims, users), (HOST, HOST));
        assert_eq!(whose(&claims, "/user.slice/user-1000.slice/postgresql.service"), (HOST, HOST));
        assert_eq!(whose(&claims, "/machine/postgresql.service"), (HOST, HOST));
        assert_eq!(whose(&claims, "/user.slice/user-1000.slice"), (HOST, HOST));
    }

    #[test]
    fn users_and_sessions_can_be_named() {
        let claims = claims("/", &[(WEB, unit("user-1000.slice"))]);
        assert_eq!(whose(&claims, "/user.slice/user-1000.slice/session-3.scope"), (WEB, WEB));
        assert_eq!(whose(&claims, "/user.slice/user-1001.slice/session-4.scope"), (HOST, HOST));
        assert_eq!(whose(&claims, "/user.slice"), (HOST, UNKNOWN));
    }

    #[test]
    fn a_cgroup_alone_leaves_what_is_below_it_unknown() {
        let claims =
            claims("/", &[(DB, cgroup("/custom/ledger", false)), (WEB, cgroup("/custom/web", true))]);
        assert_eq!(whose(&claims, "/custom/ledger"), (DB, UNKNOWN));
        assert_eq!(whose(&claims, "/custom/ledger/x/y"), (UNKNOWN, UNKNOWN));
        assert_eq!(whose(&claims, "/custom/web"), (WEB, WEB));
        assert_eq!(whose(&claims, "/custom/web/x/y"), (WEB, WEB));
        assert_eq!(whose(&claims, "/custom"), (HOST, UNKNOWN));
        assert_eq!(whose(&claims, "/custom/other"), (HOST, HOST));
        assert_eq!(whose(&claims, "/system.slice"), (HOST, HOST));
        assert_eq!(whose(&claims, "/"), (HOST, UNKNOWN));
    }

    #[test]
    fn containers_that_nobody_knows_are_unknown() {
        let mut claims = claims("/", &[(WEB, cgroup("/docker/agent", true))]);
        let place = |before: &str, after: &str, is_hash| Place {
            before: before.into(),
            after: after.into(),
            is_hash,
        };
        claims.watch(&[
            place("/docker/", "", true),
            place("/system.slice/docker-", ".scope", true),
            place("/ns/", "", false),
        ]);
        let id = "0123456789abcdef".repeat(4);
        for path in
            [format!("/docker/{id}"), format!("/system.slice/docker-{id}.scope/a"), "/ns/web".to_owned()]
        {
            assert_eq!(whose(&claims, &path), (UNKNOWN, UNKNOWN), "{path}");
        }
        for path in ["/docker/buildkit", "/system.slice/ssh.service", "/ns"] {
            assert_eq!(whose(&claims, path), (HOST, HOST), "{path}");
        }
        assert_eq!(whose(&claims, "/docker/agent/x"), (WEB, WEB));
        claims.assign(&format!("/docker/{id}"), ELSEWHERE);
        claims.assign("/ns/plain", claims.host());
        assert_eq!(whose(&claims, &format!("/docker/{id}/init")), (ELSEWHERE, ELSEWHERE));
        assert_eq!(whose(&claims, "/ns/plain"), (HOST, HOST));
        claims.assign("/docker/agent", ELSEWHERE);
        assert_eq!(whose(&claims, "/docker/agent"), (WEB, WEB), "what a workload claims is the workload's");
    }

    #[test]
    fn the_nearest_claim_decides() {
        let claims = claims("/", &[(WEB, cgroup("/custom", true)), (DB, cgroup("/custom/db", true))]);
        assert_eq!(whose(&claims, "/custom"), (WEB, UNKNOWN));
        assert_eq!(whose(&claims, "/custom/x"), (WEB, WEB));
        assert_eq!(whose(&claims, "/custom/db/x"), (DB, DB));
    }

    #[test]
    fn a_part_of_the_hierarchy_is_as_good_as_all_of_it() {
        let claims =
            claims("/test.slice/a", &[(DB, unit("db.service")), (WEB, cgroup("/test.slice/a/web", true))]);
        assert_eq!(whose(&claims, "/test.slice/a"), (HOST, UNKNOWN));
        assert_eq!(whose(&claims, "/test.slice/a/system.slice/db.service"), (DB, DB));
        assert_eq!(whose(&claims, "/test.slice/a/web/1"), (WEB, WEB));
        assert_eq!(whose(&claims, "/test.slice/a/other"), (HOST, HOST));
    }
}

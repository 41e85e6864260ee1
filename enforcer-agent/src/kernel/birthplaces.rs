//! Where sockets were made that are older than the hooks which note it.
//!
//! The kernel lists sockets with their cgroups (`sock_diag`), and lets iterators' programs put something to each. So the list is handed to
//! the iterators by the sockets' cookies, and nobody's descriptors are needed: sockets that no process has open by itself are found too.

use std::collections::HashMap as Map;
use std::error::Error;

use aya::maps::{HashMap, MapData, MapError};
use enforcer_common::maps::{Birthplace, limits};
use tracing::{debug, warn};

use super::programs::Programs;
use crate::cgroups::{Root, lineages};
use crate::datapath::DatapathError;
use crate::links::{BoundSocket, bound_sockets};

/// The map through which iterators are told.
#[derive(Debug)]
pub(super) struct Birthplaces {
    earlier: HashMap<MapData, u64, Birthplace>,
}

impl Birthplaces {
    pub(super) const fn new(earlier: HashMap<MapData, u64, Birthplace>) -> Self {
        Self { earlier }
    }

    /// Notes of every socket in this network namespace that may be asked for, and of which nothing is noted, where it was made. Of one for which that
    /// can't be done, devices' hooks go on saying that it is the host's.
    pub(super) fn note_earlier(&mut self, programs: &Programs) {
        let noted = self.list().and_then(|known| {
            let visited = if known == 0 { Ok(()) } else { programs.visit_sockets() };
            self.clear().and(visited)
        });
        if let Err(error) = noted {
            let error = &error as &dyn Error;
            warn!(
                error,
                "sockets that were there before are the host's to whoever is behind a device, until they are made anew"
            );
        }
    }

    /// Tells the iterators of every socket that may be asked for; of how many.
    fn list(&mut self) -> Result<usize, DatapathError> {
        let sockets = bound_sockets()
            .map_err(|error| DatapathError::caused("cannot ask which sockets there are", error))?;
        let lineages = Root::whole().map(|root| lineages(&root.dir, sockets.iter().map(|one| one.cgroup)));
        let mut known = birthplaces_of(&sockets, &lineages.unwrap_or_default());
        known.truncate(limits::EARLIER as usize);
        let (told, left_out) = (known.len(), sockets.len() - known.len());
        if left_out > 0 {
            warn!(
                sockets = left_out,
                "too many, or of cgroups that are gone: to whoever is behind a device they are the host's"
            );
        }
        self.clear()?;
        for (cookie, birthplace) in &known {
            self.earlier.insert(cookie, birthplace, 0).map_err(refused)?;
        }
        debug!(sockets = told, "sockets were there before");
        Ok(told)
    }

    fn clear(&mut self) -> Result<(), DatapathError> {
        let keys: Vec<u64> = self.earlier.keys().collect::<Result<_, _>>().map_err(refused)?;
        keys.iter().try_for_each(|key| self.earlier.remove(key)).map_err(refused)
    }
}

fn refused(error: MapError) -> DatapathError {
    DatapathError::caused("cannot write to the map `EARLIER`", error)
}

/// By cookie. One whose cgroup isn't there any more is left out.
fn birthplaces_of(sockets: &[BoundSocket], lineages: &Map<u64, Vec<u64>>) -> Vec<(u64, Birthplace)> {
    let birthplace = |socket: &BoundSocket| {
        let mut birthplace = Birthplace { cgroup: socket.cgroup, path: [0; Birthplace::LEVELS] };
        let path = lineages.get(&socket.cgroup)?;
        birthplace.path.iter_mut().zip(path).for_each(|(level, id)| *level = *id);
        Some((socket.cookie, birthplace))
    };
    sockets.iter().filter_map(birthplace).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_too_deep_is_cut_short_and_what_is_gone_left_out() {
        let socket = |cookie, cgroup| BoundSocket { cookie, cgroup };
        let deep: Vec<u64> = (1..=20).collect();
        let lineages = Map::from([(20, deep), (3, vec![1, 3])]);
        let found = birthplaces_of(&[socket(7, 20), socket(8, 3), socket(9, 4)], &lineages);
        let path = |ids: &[u64]| std::array::from_fn(|level| ids.get(level).copied().unwrap_or_default());
        let sixteen: Vec<u64> = (1..=16).collect();
        assert_eq!(
            found,
            [
                (7, Birthplace { cgroup: 20, path: path(&sixteen) }),
                (8, Birthplace { cgroup: 3, path: path(&[1, 3]) })
            ]
        );
    }
}

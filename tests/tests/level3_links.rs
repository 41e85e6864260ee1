//! What the daemon hears of devices and addresses.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use enforcer_agent::links::{Change, Link, Watch};
use enforcer_tests::{Namespace, world};

/// Runs the future inside a namespace, where everything it opens stays.
fn inside<T: Send>(namespace: &Namespace, work: impl AsyncFnOnce() -> T + Send) -> T {
    namespace.enter(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(work())
    })
}

async fn next(watch: &mut Watch) -> Change {
    tokio::time::timeout(Duration::from_secs(5), watch.next()).await.expect("a change").expect("no end")
}

async fn until(watch: &mut Watch, what: impl Fn(&Change) -> bool) -> Vec<Change> {
    let mut seen = Vec::new();
    loop {
        seen.push(next(watch).await);
        if what(seen.last().unwrap()) {
            return seen;
        }
    }
}

fn appeared(name: &str) -> impl Fn(&Change) -> bool {
    move |change| matches!(change, Change::Appeared(link) if link.name == name)
}

#[test]
fn a_device_is_heard_of_from_its_making_to_its_end() {
    let mut world = world!();
    world.workload("web", 10);
    inside(world.host(), async || {
        let mut watch = Watch::start().unwrap();
        let first = until(&mut watch, |change| *change == Change::Complete).await;
        assert!(first.iter().any(appeared("enf-web")) && first.iter().any(appeared("lo")), "{first:?}");
        let gateway: IpAddr = "10.77.0.1".parse().unwrap();
        assert!(first.contains(&Change::AddressAppeared(gateway)), "{first:?}");

        let start = Instant::now();
        world.ip(&["link add one type veth peer name two"]).unwrap();
        let seen = until(&mut watch, appeared("one")).await;
        let took = start.elapsed();
        assert!(took < Duration::from_millis(500), "{took:?}, `ip` included");
        let Some(Change::Appeared(Link {
            index, kind, ethernet: true, loopback: false, mac: Some(_), ..
        })) = seen.last().cloned()
        else {
            panic!("{seen:?}")
        };
        assert_eq!(kind, "veth");

        world.ip(&["link set one name other", "address add 192.0.2.7/24 dev other"]).unwrap();
        let address: IpAddr = "192.0.2.7".parse().unwrap();
        let seen = until(&mut watch, |change| *change == Change::AddressAppeared(address)).await;
        let renamed = |change: &Change| matches!(change, Change::Renamed { link, before } if link.index == index && link.name == "other" && before == "one");
        assert!(seen.iter().any(renamed), "{seen:?}");

        world
            .ip(&["link add bridge0 type bridge", "link set other master bridge0", "link set other nomaster"])
            .unwrap();
        world.ip(&["link delete other"]).unwrap();
        let gone = |change: &Change| matches!(change, Change::Gone(link) if link.index == index);
        let seen = until(&mut watch, gone).await;
        assert!(seen.contains(&Change::AddressGone(address)), "{seen:?}");
        assert!(seen.iter().any(appeared("bridge0")), "leaving a bridge is not the end: {seen:?}");
    });
}

#[test]
fn nothing_is_missed_where_the_kernel_drops_reports() {
    let world = world!();
    inside(world.host(), async || {
        let mut watch = Watch::start().unwrap();
        until(&mut watch, |change| *change == Change::Complete).await;
        // Far more than the socket's buffer holds, while nobody reads: this thread is the runtime's only one.
        const DEVICES: usize = 400;
        let add: Vec<_> = (0..DEVICES).map(|n| format!("link add d{n} type bridge")).collect();
        world.ip(&add.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        let delete: Vec<_> = (0..DEVICES / 2).map(|n| format!("link delete d{n}")).collect();
        world.ip(&delete.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        world.ip(&["link add last type bridge"]).unwrap();
        let seen = until(&mut watch, appeared("last")).await;
        let mut there = std::collections::BTreeSet::new();
        for change in &seen {
            match change {
                Change::Appeared(link) => assert!(there.insert(link.name.clone()), "twice: {link:?}"),
                Change::Gone(link) => assert!(there.remove(&link.name), "never there: {link:?}"),
                _ => {}
            }
        }
        // `last` may be reported in any place of a dump: give the rest a moment.
        let rest = Instant::now() + Duration::from_secs(5);
        while there.len() != DEVICES / 2 + 1 && Instant::now() < rest {
            match next(&mut watch).await {
                Change::Appeared(link) => drop(there.insert(link.name)),
                Change::Gone(link) => drop(there.remove(&link.name)),
                _ => {}
            }
        }
        let expected: std::collections::BTreeSet<_> =
            (DEVICES / 2..DEVICES).map(|n| format!("d{n}")).chain(["last".to_owned()]).collect();
        assert_eq!(there, expected);
    });
}

//! Programs on devices: whose packets they judge, and that they stay.

use std::time::Duration;

use enforcer_agent::datapath::{Attachment, Datapath, Hook, Sweep};
use enforcer_agent::kernel::{Kernel, KernelConfig};
use enforcer_policy::compile::Image;
use enforcer_tests::etherparse::PacketBuilder;
use enforcer_tests::images::{allowing, free};
use enforcer_tests::{Namespace, Probe, Protocol, RawPort, Workload, World, world};

fn open(namespace: &Namespace, config: &KernelConfig) -> Kernel {
    namespace.enter(|| Kernel::open(config)).unwrap_or_else(|error| panic!("{error}: {error:?}"))
}

/// Whether pings cross, there and back. Patient: a packet to a neighbour who couldn't be found just before is lost.
fn reaches(from: &Workload, to: &Workload) -> bool {
    let ping = Probe::new(from, to.v4(), Protocol::Ping).timeout(Duration::from_secs(2));
    (0..5).any(|_| ping.run().passed())
}

/// As [`reaches`], where the answer is to be no.
fn pings(from: &Workload, to: &Workload) -> bool {
    Probe::new(from, to.v4(), Protocol::Ping).timeout(Duration::from_millis(150)).run().passed()
}

/// A kernel in which nothing is judged on known devices and everything denied on others.
fn ready(kernel: &mut Kernel) {
    kernel.install(&Image::default(), &[]).unwrap();
}

fn a_hook_follows_its_device(world: &mut World, config: &KernelConfig, hook: Hook) {
    let (web, checkout) = (world.workload("web", 10), world.workload("checkout", 20));
    let host = world.host().clone();
    let ifindex = host.index_of(web.interface()).unwrap();
    let mut kernel = open(&host, config);
    ready(&mut kernel);
    assert!(reaches(&web, &checkout));

    let there = Attachment { ifindex, hook };
    assert_eq!(host.enter(|| kernel.attach(ifindex, web.interface())).unwrap(), there);
    assert!(!pings(&web, &checkout) && !pings(&checkout, &web), "nobody knows whose device it is");
    kernel.set_subject(ifindex, Some(free())).unwrap();
    assert!(reaches(&web, &checkout) && reaches(&checkout, &web));
    kernel.set_subject(ifindex, None).unwrap();
    assert!(!pings(&web, &checkout));
    // Again is no error and changes nothing.
    assert_eq!(host.enter(|| kernel.attach(ifindex, web.interface())).unwrap(), there);
    assert_eq!(host.enter(|| kernel.attached()).unwrap(), [there]);

    drop(kernel);
    assert!(!pings(&web, &checkout), "the daemon has gone, its programs have not");
    let down = format!("link set {} down", web.interface());
    let rename = format!("link set {} name other", web.interface());
    world.ip(&[&down, &rename, "link set other up"]).unwrap();
    let route = format!("route replace {} dev other", web.v4());
    world.ip(&[&route]).unwrap();
    assert!(!pings(&web, &checkout), "under another name it is the same device");

    let mut kernel = open(&host, config);
    assert_eq!(host.enter(|| kernel.attached()).unwrap(), [there]);
    assert!(!pings(&web, &checkout));
    kernel.set_subject(ifindex, Some(free())).unwrap();
    assert!(reaches(&web, &checkout));

    kernel.set_subject(ifindex, None).unwrap();
    assert!(host.enter(|| kernel.detach(ifindex)).unwrap());
    assert!(reaches(&web, &checkout), "detached");
    assert!(!host.enter(|| kernel.detach(ifindex)).unwrap());

    host.enter(|| kernel.attach(ifindex, "other")).unwrap();
    world.ip(&["link delete other"]).unwrap();
    assert_eq!(host.enter(|| kernel.attached()).unwrap(), [], "what has gone is forgotten");
    assert!(host.enter(|| kernel.attach(ifindex, "other")).is_err());
}

#[test]
fn a_tcx_hook_follows_its_device() {
    let mut world = world!();
    let config = world.kernel_config();
    a_hook_follows_its_device(&mut world, &config, Hook::Tcx);
}

#[test]
fn a_clsact_hook_follows_its_device() {
    let mut world = world!();
    let config = KernelConfig { tcx: Some(false), ..world.kernel_config() };
    a_hook_follows_its_device(&mut world, &config, Hook::Clsact);
}

#[test]
fn removing_everything_leaves_everything_free() {
    let mut world = world!();
    let (web, checkout) = (world.workload("web", 10), world.workload("checkout", 20));
    let host = world.host().clone();
    let mut kernel = open(&host, &world.kernel_config());
    ready(&mut kernel);
    // Neighbours are resolved: their time-outs are not what is tested.
    assert!(reaches(&web, &checkout));
    for workload in [&web, &checkout] {
        let ifindex = host.index_of(workload.interface()).unwrap();
        host.enter(|| kernel.attach(ifindex, workload.interface())).unwrap();
    }
    assert!(!pings(&web, &checkout));
    drop(kernel);
    enforcer_agent::kernel::remove_pins(&world.pins()).unwrap();
    assert!(reaches(&web, &checkout));
    assert!(!world.pins().exists());
}

#[test]
fn another_network_namespace_is_another_world() {
    let mut world = world!();
    let web = world.workload("web", 10);
    let host = world.host().clone();
    let mut kernel = open(&host, &world.kernel_config());
    ready(&mut kernel);
    let ifindex = host.index_of(web.interface()).unwrap();
    host.enter(|| kernel.attach(ifindex, web.interface())).unwrap();
    drop(kernel);
    let elsewhere = web.namespace().enter(|| Kernel::open(&world.kernel_config())).unwrap_err();
    assert!(elsewhere.to_string().contains("belong to another network namespace"), "{elsewhere}");
    // With the device the reason has gone.
    world.ip(&[&format!("link delete {}", web.interface())]).unwrap();
    let kernel = web.namespace().enter(|| Kernel::open(&world.kernel_config())).unwrap();
    assert_eq!(kernel.current(), None, "nothing of the other world is left");
}

#[test]
fn e100_an_upgrade_to_other_maps_takes_links_over_when_it_has_a_generation() {
    let mut world = world!();
    let (web, checkout) = (world.workload("web", 10), world.workload("checkout", 20));
    let host = world.host().clone();
    let ifindex = host.index_of(web.interface()).unwrap();
    let mut old = open(&host, &world.kernel_config());
    old.install(&Image::default(), &[(ifindex, free())]).unwrap();
    host.enter(|| old.attach(ifindex, web.interface())).unwrap();
    assert!(reaches(&web, &checkout));
    drop(old);

    let changed = KernelConfig { flows: Some(4096), ..world.kernel_config() };
    let mut new = open(&host, &changed);
    assert_eq!(new.current(), None, "maps of another shape");
    assert!(reaches(&web, &checkout), "the old programs still judge");
    host.enter(|| new.install(&Image::default(), &[])).unwrap();
    assert!(!pings(&web, &checkout), "the new ones do, and know nobody");
    assert_eq!(host.enter(|| new.attached()).unwrap(), [Attachment { ifindex, hook: Hook::Tcx }]);
    let layouts = std::fs::read_dir(world.pins()).unwrap();
    let layouts =
        layouts.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with('v'));
    assert_eq!(layouts.count(), 1);
    new.set_subject(ifindex, Some(free())).unwrap();
    assert!(reaches(&web, &checkout));
}

#[test]
fn e100_nothing_slips_through_while_programs_are_replaced() {
    let mut world = world!();
    let (web, checkout) = (world.workload("web", 10), world.workload("checkout", 20));
    let host = world.host().clone();
    let ifindex = host.index_of(web.interface()).unwrap();
    let mut kernel = open(&host, &world.kernel_config());
    ready(&mut kernel);
    host.enter(|| kernel.attach(ifindex, web.interface())).unwrap();
    drop(kernel);
    let mut inside = RawPort::open(&web, "eth0").unwrap();
    let outside = RawPort::open(&host, web.interface()).unwrap();
    let mut catcher = RawPort::open(&host, checkout.interface()).unwrap();
    let mut frame = Vec::new();
    let builder =
        PacketBuilder::ethernet2(inside.mac(), outside.mac()).ipv4([10, 77, 0, 10], [10, 77, 0, 20], 64);
    builder.udp(7, 4_321).write(&mut frame, b"slipped").unwrap();
    let mut sent = 0_u64;
    std::thread::scope(|scope| {
        let replacing = scope.spawn(|| {
            for _ in 0..5 {
                drop(open(&host, &world.kernel_config()));
            }
        });
        while !replacing.is_finished() {
            inside.send(&frame).unwrap();
            sent += 1;
        }
    });
    let slipped = catcher.receive(Duration::from_millis(100), |bytes| bytes.ends_with(b"slipped"));
    assert!(slipped.is_none(), "one of {sent} packets");
    assert!(sent > 1_000, "{sent} packets are too few to tell");
}

#[test]
fn flows_that_are_over_are_swept() {
    let mut world = world!();
    let (web, checkout) = (world.workload("web", 10), world.workload("checkout", 20));
    let host = world.host().clone();
    let ifindex = host.index_of(web.interface()).unwrap();
    let mut kernel = open(&host, &world.kernel_config());
    let subject = enforcer_tests::images::subject_of([10, 77, 0, 10], 3);
    kernel.install(&allowing([10, 77, 0, 20], 3), &[(ifindex, subject)]).unwrap();
    host.enter(|| kernel.attach(ifindex, web.interface())).unwrap();
    assert!(reaches(&web, &checkout));
    let flows = kernel.flows4().unwrap();
    assert_eq!(flows.len(), 1, "{flows:?}");
    assert_eq!(kernel.sweep_flows().unwrap(), Sweep { live: 1, removed: 0 });
    assert_eq!(kernel.sweep_flows_early(Duration::from_secs(25)).unwrap(), Sweep { live: 1, removed: 0 });
    assert_eq!(kernel.sweep_flows_early(Duration::from_secs(31)).unwrap(), Sweep { live: 0, removed: 1 });
    assert_eq!(kernel.flows4().unwrap(), []);
}

//! What others write into the maps: seen, put right and told, whatever it is.

use std::mem::offset_of;
use std::path::PathBuf;

use enforcer_agent::datapath::{Damage, Datapath, Fault, Place};
use enforcer_agent::kernel::Kernel;
use enforcer_common::Decision;
use enforcer_common::maps::{Control, Direction, Endpoint, Failsafe, FailsafeRange, Generation, Subject};
use enforcer_policy::compile::Delta;
use enforcer_tests::etherparse::PacketBuilder;
use enforcer_tests::foreign::Object;
use enforcer_tests::images::{allowing, free, owned, sized, subject_of};
use enforcer_tests::{World, world};

/// Always there, in every network namespace.
const LOOPBACK: u32 = 1;
const SUBJECT: [u8; 4] = [10, 0, 0, 1];
const PEER: [u8; 4] = [10, 0, 0, 2];
const STRANGER: [u8; 4] = [10, 0, 0, 3];
const RULE: u32 = 5;
/// The first generation goes into the bank that isn't in force at first.
const FIRST_BANK: u32 = 1;

struct Scene {
    kernel: Kernel,
    maps: PathBuf,
    world: World,
}

impl Scene {
    /// One subject that may send to one peer.
    fn new(world: World) -> Self {
        let mut kernel = world.open_kernel().unwrap();
        kernel.install(&allowing(PEER, RULE), &[(LOOPBACK, subject_of(SUBJECT, RULE))]).unwrap();
        let maps = world.pinned("maps");
        let mut scene = Self { kernel, maps, world };
        assert_eq!(scene.faults(), [], "nothing happened yet");
        scene
    }

    fn map(&self, name: &str) -> Object {
        Object::open(&self.maps.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The bank in force.
    fn bank(&self) -> u32 {
        self.map("CONTROL").control().unwrap().bank()
    }

    /// What a look finds.
    fn faults(&mut self) -> Vec<Fault> {
        let kernel = &mut self.kernel;
        let found = self.world.host().enter(|| kernel.inspect());
        assert_eq!(found.errors.iter().map(ToString::to_string).collect::<Vec<_>>(), [""; 0]);
        found.faults
    }

    fn passes(&self, to: [u8; 4], port: u16) -> bool {
        let mut frame = Vec::new();
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(SUBJECT, to, 64).udp(port, 53);
        builder.write(&mut frame, b"question").unwrap();
        self.kernel.run_test(Direction::Egress, LOOPBACK, &frame, 1).unwrap().passes()
    }

    /// A look finds this in these tables, puts it right, and the next finds nothing.
    #[track_caller]
    fn mends(&mut self, what: &str, damage: Damage, tables: &[(&'static str, u64)]) {
        let before = self.kernel.current().unwrap();
        let faults = self.faults();
        let told: Vec<(Damage, Place, u64)> =
            faults.iter().map(|fault| (fault.damage, fault.place.clone(), fault.entries)).collect();
        let expected: Vec<_> =
            tables.iter().map(|(table, entries)| (damage, Place::Table(table), *entries)).collect();
        assert_eq!(told, expected, "{what}");
        assert!(faults.iter().all(|fault| fault.unrepaired.is_none()), "{what}: {faults:?}");
        assert!(self.kernel.current().unwrap() > before, "{what}: what was judged meanwhile is judged anew");
        assert_eq!(self.faults(), [], "{what}: it is whole again");
    }
}

#[test]
fn e104_whatever_is_written_into_the_maps_is_put_right_at_the_next_look() {
    let mut scene = Scene::new(world!());
    let mut port = 1_000;
    let mut judge = |scene: &Scene| {
        port += 1;
        (scene.passes(PEER, port), scene.passes(STRANGER, port))
    };
    assert_eq!(judge(&scene), (true, false));

    let control = scene.map("CONTROL");
    let zero = 0_u32.to_ne_bytes();
    for (what, word) in [
        ("no generation", Control(0)),
        ("the other bank", Control::new(scene.kernel.current().unwrap(), scene.bank() ^ 1)),
        ("an epoch to come", Control::new(77, scene.bank())),
        ("the last epoch", Control::new(u32::MAX, scene.bank())),
    ] {
        control.write(&zero, &word.0.to_ne_bytes()).unwrap();
        scene.mends_control(what);
        assert_eq!(judge(&scene), (true, false), "{what}");
    }

    let bank = scene.bank();
    let peers = [bank.to_ne_bytes(), PEER].concat();
    let stranger = [bank.to_ne_bytes(), STRANGER].concat();
    let addresses = scene.map("ADDRESSES4");
    let endpoint = addresses.read(&peers, size_of::<Endpoint>()).unwrap();

    addresses.write(&stranger, &endpoint).unwrap();
    assert_eq!(judge(&scene), (true, true), "a stranger is taken for the peer");
    scene.mends("an added address", Damage::TableChanged, &[("ADDRESSES4", 1)]);
    assert_eq!(judge(&scene), (true, false));

    addresses.delete(&peers).unwrap();
    assert_eq!(judge(&scene), (false, false));
    scene.mends("a removed address", Damage::TableChanged, &[("ADDRESSES4", 1)]);
    assert_eq!(judge(&scene), (true, false));

    let mut other = endpoint.clone();
    other[4] ^= 1;
    addresses.write(&peers, &other).unwrap();
    scene.mends("an address of another class", Damage::TableChanged, &[("ADDRESSES4", 1)]);
    assert_eq!(judge(&scene), (true, false));

    addresses.delete(&peers).unwrap();
    addresses.write(&stranger, &endpoint).unwrap();
    assert_eq!(judge(&scene), (false, true), "as many as before");
    scene.mends("one for another", Damage::TableChanged, &[("ADDRESSES4", 2)]);
    assert_eq!(judge(&scene), (true, false));

    // Everything: shorter than any other prefix.
    let prefix = [32_u32.to_ne_bytes(), bank.to_ne_bytes(), [0; 4]].concat();
    scene.map("PREFIXES4").write(&prefix, &endpoint).unwrap();
    scene.mends("an added prefix", Damage::TableChanged, &[("PREFIXES4", 1)]);

    let pairs = scene.map("PAIRS");
    let pair = pairs.first_key(12).unwrap();
    let ports = pairs.read(&pair, 8).unwrap();
    pairs.delete(&pair).unwrap();
    assert_eq!(judge(&scene), (false, false));
    scene.mends("a removed pair", Damage::TableChanged, &[("PAIRS", 1)]);
    pairs.write(&[pair[..8].to_vec(), 9_u32.to_ne_bytes().to_vec()].concat(), &ports).unwrap();
    scene.mends("an added pair", Damage::TableChanged, &[("PAIRS", 1)]);
    assert_eq!(judge(&scene), (true, false));

    let slot = (2 * LOOPBACK + bank).to_ne_bytes();
    let subjects = scene.map("SUBJECTS");
    let mut subject = subjects.read(&slot, size_of::<Subject>()).unwrap();
    subject[offset_of!(Subject, mode)] = 0;
    subjects.write(&slot, &subject).unwrap();
    assert_eq!(judge(&scene), (true, true), "nothing is judged of it");
    scene.mends("a subject that is let off", Damage::TableChanged, &[("SUBJECTS", 1)]);
    assert_eq!(judge(&scene), (true, false));

    let generations = scene.map("GENERATIONS");
    generations.write(&bank.to_ne_bytes(), &[0; size_of::<Generation>()]).unwrap();
    scene.mends("the word beside the tables", Damage::TableChanged, &[("GENERATIONS", 1)]);
    assert_eq!(judge(&scene), (true, false));
}

impl Scene {
    #[track_caller]
    fn mends_control(&mut self, what: &str) {
        let before = self.kernel.current().unwrap_or(0);
        let faults = self.faults();
        assert_eq!(faults.len(), 1, "{what}: {faults:?}");
        assert_eq!(
            (faults[0].damage, &faults[0].place, &faults[0].unrepaired),
            (Damage::GenerationSwitched, &Place::Table("CONTROL"), &None)
        );
        let after = self.kernel.current().unwrap();
        assert_ne!(after, before, "{what}: what was judged meanwhile is judged anew");
        assert_eq!(self.bank(), FIRST_BANK, "{what}");
        assert_eq!(self.faults(), [], "{what}: it is whole again");
    }
}

#[test]
fn e104_rewritten_decisions_and_break_points_are_put_right() {
    let mut scene = Scene::new(world!());
    let bank = scene.bank();
    let decision = bank * enforcer_common::maps::limits::DECISIONS + RULE + 1;
    let decisions = scene.map("DECISIONS");
    let mut value = decisions.read(&decision.to_ne_bytes(), size_of::<Decision>()).unwrap();
    assert!(scene.passes(PEER, 1));
    // Allows no more.
    value[12] ^= 1;
    decisions.write(&decision.to_ne_bytes(), &value).unwrap();
    assert!(!scene.passes(PEER, 2));
    scene.mends("a decision turned round", Damage::TableChanged, &[("DECISIONS", 1)]);
    assert!(scene.passes(PEER, 3));

    let interval = bank * enforcer_common::maps::limits::INTERVALS + RULE;
    scene.map("INTERVALS").write(&interval.to_ne_bytes(), &[0; 8]).unwrap();
    assert!(!scene.passes(PEER, 4));
    scene.mends("a break point without a decision", Damage::TableChanged, &[("INTERVALS", 1)]);
    assert!(scene.passes(PEER, 5));
}

#[test]
fn e104_what_is_planted_in_the_other_bank_never_comes_into_force() {
    let mut scene = Scene::new(world!());
    scene.kernel.install(&allowing(PEER, RULE), &[(LOOPBACK, subject_of(SUBJECT, RULE))]).unwrap();
    let aside = scene.bank() ^ 1;
    let addresses = scene.map("ADDRESSES4");
    let endpoint = addresses.read(&[aside.to_ne_bytes(), PEER].concat(), size_of::<Endpoint>()).unwrap();
    let planted = [aside.to_ne_bytes(), STRANGER].concat();
    addresses.write(&planted, &endpoint).unwrap();
    // Before anybody looked.
    scene.kernel.install(&allowing(PEER, RULE), &[(LOOPBACK, subject_of(SUBJECT, RULE))]).unwrap();
    let faults = scene.faults();
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(!scene.passes(STRANGER, 1) && scene.passes(PEER, 1));
    assert!(addresses.read(&planted, size_of::<Endpoint>()).is_err(), "it is gone");
}

#[test]
fn e104_failsafe_paths_that_others_open_or_close_are_put_right() {
    let mut scene = Scene::new(world!());
    let mut open = Failsafe::NONE;
    open.ranges[0] = FailsafeRange { first: 6 << 16 | 22, last: 6 << 16 | 22, ingress: 1, reserved: 0 };
    scene.kernel.set_failsafe(&[("192.0.2.0/24".parse().unwrap(), open)]).unwrap();
    assert_eq!(scene.faults(), [], "that was our own hand");
    let paths = scene.map("FAILSAFE4");
    let block = |length: u32, network: [u8; 4]| {
        [32 + length, 0].map(u32::to_ne_bytes).concat().into_iter().chain(network).collect::<Vec<u8>>()
    };
    let (kept, planted) = (block(24, [192, 0, 2, 0]), block(0, [0; 4]));
    let value = paths.read(&kept, size_of::<Failsafe>()).unwrap();
    paths.write(&planted, &value).unwrap();
    scene.mends("a path for everybody", Damage::TableChanged, &[("FAILSAFE4", 1)]);
    assert!(paths.read(&planted, value.len()).is_err(), "it is gone");
    paths.delete(&kept).unwrap();
    scene.mends("a path that is gone", Damage::TableChanged, &[("FAILSAFE4", 1)]);
    let mut wider = value.clone();
    wider[0] = 0;
    paths.write(&kept, &wider).unwrap();
    scene.mends("another port", Damage::TableChanged, &[("FAILSAFE4", 1)]);
    assert_eq!(paths.read(&kept, value.len()).unwrap(), value);
}

#[test]
fn changes_of_our_own_hand_are_no_tampering() {
    let mut scene = Scene::new(world!());
    let (first, endpoint) = sized(1).addresses4[7];
    for round in 0..4 {
        scene.kernel.install(&sized(1 + round % 3), &[(LOOPBACK, free())]).unwrap();
        assert_eq!(scene.faults(), [], "round {round}, a generation");
        let delta = Delta {
            addresses4: vec![(first, None), ([77], Some(endpoint)), ([78], Some(endpoint))],
            prefixes6: vec![("2001:db8:1::/48".parse().unwrap(), None)],
            decisions: vec![(1, enforcer_common::Decision::NONE)],
            ..Delta::default()
        };
        scene.kernel.apply_delta(&delta, &[(LOOPBACK, None)]).unwrap();
        assert_eq!(scene.faults(), [], "round {round}, a change in place");
        scene.kernel.set_subject(LOOPBACK, Some(subject_of(SUBJECT, 3))).unwrap();
        assert_eq!(scene.faults(), [], "round {round}, a subject");
    }
}

#[test]
fn e104_a_large_table_is_compared_by_turns() {
    let mut scene = Scene::new(world!());
    let set = sized(20);
    scene.kernel.install(&set, &[(LOOPBACK, free())]).unwrap();
    let (address, _) = *set.addresses4.last().unwrap();
    let key = [scene.bank().to_ne_bytes(), address[0].to_ne_bytes()].concat();
    let addresses = scene.map("ADDRESSES4");
    let mut endpoint = addresses.read(&key, size_of::<Endpoint>()).unwrap();
    endpoint[4] ^= 1;
    addresses.write(&key, &endpoint).unwrap();
    // 20,000 addresses of each family, 2,000 prefixes of each, 1,000 pairs: 45,000 entries, 4,096 at each look.
    let looks = (1..=12).find_map(|looks| {
        let faults = scene.faults();
        (!faults.is_empty()).then_some((looks, faults))
    });
    let (_, faults) = looks.expect("every entry has its turn");
    assert_eq!((faults.len(), faults[0].entries, &faults[0].place), (1, 1, &Place::Table("ADDRESSES4")));
    assert_eq!(owned(&scene.kernel.usage().unwrap()), [20_000, 20_000, 2_000, 2_000, 1_000, 1]);
    endpoint[4] ^= 1;
    assert_eq!(addresses.read(&key, size_of::<Endpoint>()).unwrap(), endpoint);
}

#[test]
fn e104_a_map_that_others_froze_is_told_as_not_repaired() {
    let mut scene = Scene::new(world!());
    let bank = scene.bank();
    let generations = scene.map("GENERATIONS");
    generations.write(&bank.to_ne_bytes(), &[0; size_of::<Generation>()]).unwrap();
    generations.freeze().unwrap();
    for look in 0..2 {
        let faults = scene.faults();
        assert_eq!(faults.len(), 1, "look {look}: {faults:?}");
        let why = faults[0].unrepaired.as_ref().expect("it can't be written any more");
        assert!(why.contains("GENERATIONS"), "{why}");
    }
}

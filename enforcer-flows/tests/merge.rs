//! Several sources as one: in the order of their times, each in its own order.

use enforcer_flows::{Input, Item, Options, ReadError, Sinks, Summary, Time, merge};
use proptest::prelude::*;
use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Text in memory, and how often it was opened.
struct Text {
    text: Vec<u8>,
    again: bool,
    opened: AtomicUsize,
}

impl Text {
    fn new(text: impl Into<Vec<u8>>) -> Self {
        Self { text: text.into(), again: true, opened: AtomicUsize::new(0) }
    }
}

impl Input for Text {
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(io::Cursor::new(self.text.clone())))
    }

    fn look(&self) -> Option<io::Result<Box<dyn Read + Send>>> {
        self.again.then(|| self.open())
    }
}

/// Which source said what, by its port, and which has ended.
#[derive(Default)]
struct Seen {
    flows: Vec<(usize, Option<Time>, u16)>,
    packets: Vec<(usize, Option<Time>, Vec<u8>)>,
    damage: Vec<(usize, u64)>,
    ended: Vec<(usize, Summary)>,
}

impl Sinks for Seen {
    fn take(&mut self, source: usize, item: Item<'_>) {
        match item {
            Item::Flow(flow) => self.flows.push((source, flow.start, flow.source.port)),
            Item::Packet(packet) => self.packets.push((source, packet.time, packet.bytes.to_vec())),
            Item::Damage(damage) => self.damage.push((source, damage.place)),
            Item::Gap(_) => {}
        }
    }

    fn end(&mut self, source: usize, summary: &Summary) {
        self.ended.push((source, summary.clone()));
    }
}

fn merged(texts: &[Text]) -> (Seen, Result<(), (usize, ReadError)>) {
    merged_with(texts, &Options::default())
}

fn merged_with(texts: &[Text], options: &Options) -> (Seen, Result<(), (usize, ReadError)>) {
    let inputs: Vec<&dyn Input> = texts.iter().map(|text| text as &dyn Input).collect();
    let mut seen = Seen::default();
    let options = vec![options.clone(); inputs.len()];
    let result = merge(&inputs, &options, &mut seen);
    (seen, result)
}

/// Records of a flow log: seconds, with a number as port.
fn log(times: &[(u32, u16)]) -> Text {
    let line = |(time, port): &(u32, u16)| {
        format!("2 1 eni-1 10.0.0.1 10.0.0.2 {port} 443 6 1 40 {time} {time} ACCEPT OK\n")
    };
    Text::new(times.iter().map(line).collect::<String>())
}

/// A capture with packets of two bytes.
fn pcap(times: &[(u32, u16)]) -> Text {
    let mut file = Vec::new();
    [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1].iter().for_each(|word| file.extend(word.to_le_bytes()));
    for (time, what) in times {
        [*time, 0, 2, 60].iter().for_each(|word| file.extend(word.to_le_bytes()));
        file.extend(what.to_be_bytes());
    }
    Text::new(file)
}

const SECOND: Time = 1_000_000_000;

#[test]
fn records_come_in_the_order_of_their_times() {
    let (seen, result) =
        merged(&[log(&[(10, 1), (30, 2), (50, 3)]), log(&[(20, 4), (30, 5), (60, 6)]), log(&[(5, 7)])]);
    result.unwrap();
    let order: Vec<_> =
        seen.flows.iter().map(|(source, time, port)| (*source, time.unwrap() / SECOND, *port)).collect();
    assert_eq!(order, [(2, 5, 7), (0, 10, 1), (1, 20, 4), (0, 30, 2), (1, 30, 5), (0, 50, 3), (1, 60, 6)]);
    let ended: Vec<_> = seen.ended.iter().map(|(source, summary)| (*source, summary.flows)).collect();
    assert_eq!(ended, [(2, 1), (0, 3), (1, 3)]);
}

#[test]
fn a_source_out_of_order_keeps_its_own_and_holds_up_nobody() {
    let (seen, result) = merged(&[log(&[(10, 1), (40, 2), (20, 3), (50, 4)]), log(&[(15, 5), (45, 6)])]);
    result.unwrap();
    let order: Vec<_> = seen.flows.iter().map(|(_, _, port)| *port).collect();
    assert_eq!(order, [1, 5, 2, 3, 6, 4]);
}

#[test]
fn captures_keep_their_bytes() {
    let (seen, result) =
        merged(&[pcap(&[(1, 0x1111), (3, 0x3333)]), pcap(&[(2, 0x2222), (4, 0x4444)]), log(&[(3, 9)])]);
    result.unwrap();
    let order: Vec<_> = seen.packets.iter().map(|(source, _, bytes)| (*source, bytes[0])).collect();
    assert_eq!(order, [(0, 0x11), (1, 0x22), (0, 0x33), (1, 0x44)]);
    assert_eq!(seen.flows.len(), 1);
}

#[test]
fn what_has_no_times_comes_whole() {
    let sockets = "tcp ESTAB 0 0 10.0.0.1:40000 10.0.0.2:443\ntcp ESTAB 0 0 10.0.0.1:40001 10.0.0.2:443\n";
    let (seen, result) = merged(&[log(&[(10, 1)]), Text::new(sockets)]);
    result.unwrap();
    let order: Vec<_> = seen.flows.iter().map(|(source, _, _)| *source).collect();
    assert_eq!(order, [1, 1, 0]);
}

#[test]
fn files_that_follow_each_other_are_opened_when_they_are_due() {
    let texts = [log(&[(30, 3)]), log(&[(10, 1)]), log(&[(20, 2)])];
    let (seen, result) = merged(&texts);
    result.unwrap();
    assert_eq!(seen.flows.iter().map(|(source, _, _)| *source).collect::<Vec<_>>(), [1, 2, 0]);
    // Once to look, once to read; what can't be looked at is read once.
    assert!(texts.iter().all(|text| text.opened.load(Ordering::Relaxed) == 2));
    let once = [Text { again: false, ..log(&[(30, 3)]) }, log(&[(10, 1)])];
    let (seen, result) = merged(&once);
    result.unwrap();
    assert_eq!(seen.flows.iter().map(|(source, _, _)| *source).collect::<Vec<_>>(), [1, 0]);
    assert_eq!(once[0].opened.load(Ordering::Relaxed), 1);
}

#[test]
fn what_cannot_be_read_is_told_by_number_and_ends_all() {
    let endless: Vec<(u32, u16)> = (0..100_000).map(|n| (n, n as u16)).collect();
    let (_, result) = merged(&[log(&endless), Text::new("nobody's format\n"), log(&endless)]);
    assert!(matches!(result, Err((1, ReadError::Unknown { .. }))), "{result:?}");
    let (_, result) = merged(&[log(&endless), Text::new("")]);
    assert!(matches!(result, Err((1, ReadError::Empty))), "{result:?}");
    let damaged = Text::new("2 1 eni-1 10.0.0.1 10.0.0.2 1 443 6 1 40 7 7 ACCEPT OK\n2 1 eni-1 nonsense\n");
    let strict = Options { strict: true, ..Options::default() };
    let (_, result) = merged_with(&[log(&endless), damaged], &strict);
    assert!(matches!(result, Err((1, ReadError::Damaged(_)))), "{result:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Sources in order give all in order, and whatever the order, each source stays as it is.
    #[test]
    fn random_sources_merge_as_sorting_would(mut times in prop::collection::vec(prop::collection::vec(0_u32..3_000, 1..1_400), 1..6), sorted in any::<bool>()) {
        if sorted {
            times.iter_mut().for_each(|times| times.sort_unstable());
        }
        let lists: Vec<Vec<(u32, u16)>> =
            times.iter().map(|times| times.iter().copied().zip(0..).collect()).collect();
        let texts: Vec<Text> = lists.iter().enumerate().map(|(at, list)| if at % 2 == 0 { log(list) } else { pcap(list) }).collect();
        let inputs: Vec<&dyn Input> = texts.iter().map(|text| text as &dyn Input).collect();
        struct Order(Vec<(Time, usize, u16)>);
        impl Sinks for Order {
            fn take(&mut self, source: usize, item: Item<'_>) {
                match item {
                    Item::Flow(flow) => self.0.push((flow.start.unwrap(), source, flow.source.port)),
                    Item::Packet(packet) => {
                        self.0.push((packet.time.unwrap(), source, u16::from_be_bytes(packet.bytes.try_into().unwrap())));
                    }
                    Item::Gap(_) | Item::Damage(_) => panic!("{item:?}"),
                }
            }
            fn end(&mut self, _: usize, _: &Summary) {}
        }
        let mut order = Order(Vec::new());
        merge(&inputs, &vec![Options::default(); inputs.len()], &mut order).unwrap();
        for (source, list) in lists.iter().enumerate() {
            let own: Vec<(u32, u16)> = order.0.iter().filter(|one| one.1 == source).map(|one| ((one.0 / SECOND) as u32, one.2)).collect();
            prop_assert_eq!(&own, list);
        }
        if sorted {
            prop_assert!(order.0.windows(2).all(|pair| (pair[0].0, pair[0].1) <= (pair[1].0, pair[1].1)));
        }
    }
}

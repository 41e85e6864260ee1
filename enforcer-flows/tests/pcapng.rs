//! What a pcapng file may have beside packets, in blocks written by hand: programs rarely write all of it.

mod seen;

use seen::seen;

const SECTION: u32 = 0x0a0d_0d0a;

/// A file in the making.
#[derive(Clone, Default)]
struct File {
    bytes: Vec<u8>,
    big: bool,
}

impl File {
    fn new(big: bool) -> Self {
        Self::default().section(big)
    }

    fn word(&self, word: u32) -> [u8; 4] {
        if self.big { word.to_be_bytes() } else { word.to_le_bytes() }
    }

    fn half(&self, half: u16) -> [u8; 2] {
        if self.big { half.to_be_bytes() } else { half.to_le_bytes() }
    }

    fn block(mut self, kind: u32, body: &[u8]) -> Self {
        let padded = body.len().next_multiple_of(4);
        let length = self.word(padded as u32 + 12);
        self.bytes.extend(self.word(kind));
        self.bytes.extend(length);
        self.bytes.extend(body);
        self.bytes.resize(self.bytes.len() + padded - body.len(), 0);
        self.bytes.extend(length);
        self
    }

    fn section(mut self, big: bool) -> Self {
        self.big = big;
        let body = [&self.word(0x1a2b_3c4d)[..], &self.half(1), &self.half(0), &[0xff; 8]].concat();
        self.block(SECTION, &body)
    }

    fn option(&self, code: u16, value: &[u8]) -> Vec<u8> {
        let mut option = [self.half(code), self.half(value.len() as u16)].concat();
        option.extend(value);
        option.resize(option.len().next_multiple_of(4), 0);
        option
    }

    fn long(&self, number: u64) -> [u8; 8] {
        if self.big { number.to_be_bytes() } else { number.to_le_bytes() }
    }

    fn interface(self, link: u16, snap: u32, options: &[Vec<u8>]) -> Self {
        let body = [&self.half(link)[..], &[0, 0], &self.word(snap), &options.concat()].concat();
        self.block(1, &body)
    }

    fn packet(self, interface: u32, time: u64, packet: &[u8], length: u32, options: &[Vec<u8>]) -> Self {
        let mut padded = packet.to_vec();
        padded.resize(packet.len().next_multiple_of(4), 0);
        let head = [interface, (time >> 32) as u32, time as u32, packet.len() as u32, length];
        let body = [head.map(|word| self.word(word)).concat(), padded, options.concat()].concat();
        self.block(6, &body)
    }

    fn statistics(self, interface: u32, time: u64, options: &[Vec<u8>]) -> Self {
        let head = [interface, (time >> 32) as u32, time as u32].map(|word| self.word(word)).concat();
        let body = [head, options.concat()].concat();
        self.block(5, &body)
    }
}

const IP: [u8; 5] = [0x45, 0, 0, 5, 9];

#[test]
fn every_section_has_its_byte_order_and_every_interface_its_clock() {
    for big in [false, true] {
        let file = File::new(big);
        let nano = vec![file.option(9, &[9])];
        let binary = vec![file.option(9, &[0x80 | 20])];
        let late = vec![file.option(9, &[0]), file.option(14, &file.long((-100_i64).cast_unsigned()))];
        let file = file
            .interface(101, 0, &nano)
            .interface(101, 0, &binary)
            .interface(101, 0, &late)
            .interface(101, 0, &[]);
        let file = file.packet(0, 1_700_000_000_123_456_789, &IP, 5, &[]);
        let file = file.packet(1, (1_700_000_000 << 20) + (1 << 19), &IP, 5, &[]);
        let file =
            file.packet(2, 1_700_000_000, &IP, 5, &[]).packet(3, 1_700_000_000_000_001, &IP, 1500, &[]);
        let file = file.section(!big).interface(1, 0, &[]).packet(0, 7, &[0; 60], 60, &[]);
        let (seen, summary) = seen(&file.bytes);
        assert_eq!(summary.damaged, 0, "{:?}", seen.damages);
        assert_eq!(
            seen.packets,
            [
                "1700000000123456789 Raw 5/5 0800@0",
                "1700000000500000000 Raw 5/5 0800@0",
                "1699999900000000000 Raw 5/5 0800@0",
                "1700000000000001000 Raw 5/1500 0800@0",
                "7000 Ethernet 60/60 -",
            ]
        );
    }
}

#[test]
fn lost_packets_are_gaps_and_are_told_of_once() {
    for big in [false, true] {
        let file = File::new(big);
        let dropped = |count| vec![file.option(4, &file.long(count))];
        let counters = |started: u64, interface, system| {
            let halves = [file.word((started >> 32) as u32), file.word(started as u32)].concat();
            vec![
                file.option(2, &halves),
                file.option(5, &file.long(interface)),
                file.option(7, &file.long(system)),
            ]
        };
        let written = file.clone().interface(101, 0, &[file.option(2, b"eth0")]);
        let written = written.packet(0, 1000, &IP, 5, &[]).packet(0, 2000, &IP, 5, &dropped(3));
        let written =
            written.statistics(0, 2500, &counters(500, 3, 0)).statistics(0, 3000, &counters(500, 9, 1));
        let (seen, summary) = seen(&written.bytes);
        assert_eq!((summary.packets, summary.damaged), (2, 0));
        assert_eq!(seen.gaps, ["lost 3 eth0 1000000..2000000", "lost 7 eth0 500000..3000000"]);
    }
}

#[test]
fn simple_and_obsolete_packets_are_read() {
    for big in [false, true] {
        let file = File::new(big).interface(101, 8, &[]);
        let simple = [&file.word(1500)[..], &[0x60; 8]].concat();
        let simple_short = [&file.word(6)[..], &[0x60; 8]].concat();
        let head = [file.half(0), file.half(2)].concat();
        let head = [head, [0, 9, 5, 700].map(|word| file.word(word)).concat()].concat();
        let obsolete = [&head[..], &IP, &[0; 3]].concat();
        let (seen, summary) = seen(&file.block(3, &simple).block(3, &simple_short).block(2, &obsolete).bytes);
        assert_eq!(summary.damaged, 0, "{:?}", seen.damages);
        assert_eq!(seen.packets, ["- Raw 8/1500 86dd@0", "- Raw 6/6 86dd@0", "9000 Raw 5/700 0800@0"]);
        assert_eq!(seen.gaps, ["lost 2 - -..9000"]);
    }
}

#[test]
fn an_unknown_link_type_is_damage_once_for_each_interface() {
    let file = File::new(false).interface(127, 0, &[]).interface(101, 0, &[]).interface(195, 0, &[]);
    let file = (0..9).fold(file, |file, index| file.packet(index % 3, 1, &IP, 5, &[]));
    let (seen, summary) = seen(&file.bytes);
    assert_eq!((summary.packets, summary.skipped), (3, 6));
    assert_eq!(
        seen.damages,
        ["5: packets of link type `127` aren't read", "7: packets of link type `195` aren't read"]
    );
}

#[test]
fn blocks_of_no_interest_are_passed_over_whatever_their_size() {
    let file = File::new(false)
        .interface(101, 0, &[])
        .block(4, &[1; 20])
        .block(0x0bad, &vec![7; 3 << 20])
        .block(10, &[0; 8]);
    let (seen, summary) = seen(&file.packet(0, 1, &IP, 5, &[]).bytes);
    assert_eq!((summary.packets, summary.skipped, summary.damaged), (1, 3, 0), "{:?}", seen.damages);
}

#[test]
fn what_makes_no_sense_is_damage_and_the_rest_is_read() {
    let file = || File::new(false).interface(101, 0, &[]);
    let told = |file: File| {
        let (seen, summary) = seen(&file.packet(0, 1, &IP, 5, &[]).bytes);
        assert_eq!(summary.packets, 1, "{:?}", seen.damages);
        seen.damages
    };
    assert_eq!(told(file().packet(1, 1, &IP, 5, &[])), ["3: a block of type 6 makes no sense"]);
    assert_eq!(told(file().block(6, &[0; 8])), ["3: a block of type 6 makes no sense"]);
    assert_eq!(told(file().block(1, &[])), ["3: a block of type 1 makes no sense"]);
    let mut longer = file().packet(0, 1, &IP, 5, &[]);
    let end = longer.bytes.len();
    longer.bytes[end - 4] += 4;
    assert_eq!(told(longer), ["3: a block's two lengths differ"]);
    let mut odd = file();
    odd.bytes.extend([6, 0, 0, 0, 33, 0, 0, 0, 1, 2, 3, 4, 5]);
    assert_eq!(told(odd), ["3: a block can't be 33 bytes long"]);
    let mut huge = file();
    huge.bytes.extend([6, 0, 0, 0, 0, 0, 0, 0x40, 1, 2, 3, 4, 5]);
    assert_eq!(told(huge), ["3: a block of 1073741824 bytes is longer than any may be"]);
    let mut order = file();
    order.bytes.extend(SECTION.to_le_bytes());
    order.bytes.extend([28, 0, 0, 0, 9, 9, 9, 9]);
    assert_eq!(told(order), ["3: a section's byte order isn't known"]);
}

#[test]
fn interfaces_are_bounded() {
    let file = (0..5000).fold(File::new(false), |file, _| file.interface(101, 0, &[]));
    let (_, summary) = seen(&file.packet(4095, 1, &IP, 5, &[]).packet(4096, 1, &IP, 5, &[]).bytes);
    assert_eq!((summary.packets, summary.damaged), (1, 5000 - 4096 + 1));
}

//! Our parser beside etherparse.
//!
//! An input describes a packet ([`build`]), and how many bytes of it are changed afterwards. A packet that is as it was built is valid: both
//! read it, and read the same, but for what ours refuses on purpose. Of a changed one: what ours takes, etherparse takes, as the same.

mod build;
mod theirs;

use crate::input::Input;
use enforcer_common::dissect::dissect;
use enforcer_common::packet::Frame;

pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let mut built = build::packet(&mut input);
    let mut changed = false;
    for _ in 0..input.u8() & 3 {
        let at = usize::from(input.u16()) % built.frame.len();
        changed |= built.frame[at] != input.0.first().copied().unwrap_or(0);
        built.frame[at] = input.u8();
    }
    let ours = dissect(&Frame::new(&built.frame), false);
    match ours {
        Ok(ours) => match theirs::dissect(&built.frame) {
            Ok(theirs) => assert_eq!(ours, theirs, "{:02x?}", built.frame),
            Err(error) => panic!("only we read {:02x?}: {ours:?}; etherparse: {error}", built.frame),
        },
        Err(_) if changed => {}
        Err(reason) => {
            let expected = built.refused.contains(&reason);
            assert!(expected, "{reason:?}, where {:?} was expected: {:02x?}", built.refused, built.frame);
        }
    }
    assert!(changed || built.refused.is_empty() == ours.is_ok(), "{ours:?}: {:?}", built.refused);
}

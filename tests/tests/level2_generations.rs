//! Generations in the kernel's maps.

use std::path::PathBuf;
use std::time::Instant;

use enforcer_agent::datapath::Datapath;
use enforcer_agent::kernel::{Kernel, KernelConfig, remove_pins};
use enforcer_common::maps::{Direction, Endpoint, Subject};
use enforcer_policy::compile::{Delta, Image};

struct Pins(PathBuf);

impl Pins {
    fn new(name: &str) -> Self {
        Self(format!("/sys/fs/bpf/enforcer-{name}-{}", std::process::id()).into())
    }
    fn open(&self) -> Kernel {
        Kernel::open(&KernelConfig {
            bpffs: self.0.clone(),
            object: std::env::var_os("ENFORCER_TEST_OBJECT").map(|p| std::fs::read(p).unwrap().into()),
            ..KernelConfig::default()
        })
        .unwrap_or_else(|e| panic!("{e:?}"))
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        remove_pins(&self.0).unwrap();
    }
}

fn image(n: u32) -> Image {
    let e = Endpoint { identity: 1, class: 1, coarse: 1, kind: 1 };
    Image { addresses4: (0..n).map(|i| ([i.to_be()], e)).collect(), ..Image::default() }
}

#[test]
fn bulk() {
    let pins = Pins::new("bulk");
    let t = Instant::now();
    let mut kernel = pins.open();
    eprintln!("open {:?}", t.elapsed());
    for i in 0..4 {
        let image = image(100_000);
        let t = Instant::now();
        let epoch =
            kernel.install(&image, &[(1, Subject { identity: 3, mode: 2, ..Subject::default() })]).unwrap();
        eprintln!("install {epoch} {:?}", t.elapsed());
        assert_eq!(epoch, i + 1);
    }
    for i in 0..4 {
        let e = Endpoint { identity: 1, class: 1, coarse: 1, kind: 1 };
        let t = Instant::now();
        kernel
            .apply_delta(
                &Delta { addresses4: vec![([0xffff0000_u32 + i], Some(e))], ..Delta::default() },
                &[(7, None)],
            )
            .unwrap();
        eprintln!("delta {:?}", t.elapsed());
    }
    eprintln!("{:?}", kernel.usage().unwrap());
    let frame = [0u8; 64];
    eprintln!("{:?}", kernel.run_test(Direction::Egress, 1, &frame, 1000).unwrap());
    eprintln!("{:?}", kernel.reason_counters().unwrap());
    eprintln!("{:?}", kernel.event_counters().unwrap());
    eprintln!("{:?}", kernel.rule_counters(3).unwrap());
    let t = Instant::now();
    drop(kernel);
    let mut kernel = pins.open();
    eprintln!("reopen {:?}", t.elapsed());
    assert_eq!(kernel.current(), Some(8));
    kernel.remove_all().unwrap();
}

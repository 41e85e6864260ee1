//! The kernel programs that this build carries.

/// The object as `build.rs` left it: empty where there was no toolchain. Aligned, because ELF headers are read in place.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/enforcer.o"));

/// Which toolchain built the object, or why there is none.
pub const ORIGIN: &str = env!("ENFORCER_OBJECT_ORIGIN");

/// This binary was built where no kernel programs could be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this build has no kernel programs: {}", .why)]
pub struct NoObject {
    why: &'static str,
}

impl NoObject {
    /// How to get a build that has them.
    #[must_use]
    pub fn help(&self) -> &'static str {
        "run `cargo xtask setup`, then `cargo xtask build-ebpf`, and build again"
    }
}

/// The ELF object with the kernel programs.
pub fn object() -> Result<&'static [u8], NoObject> {
    check(OBJECT)
}

fn check(object: &'static [u8]) -> Result<&'static [u8], NoObject> {
    if object.is_empty() { Err(NoObject { why: ORIGIN }) } else { Ok(object) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stub_is_refused_and_says_how_to_mend_it() {
        let error = check(&[]).unwrap_err();
        assert_eq!(error.to_string(), format!("this build has no kernel programs: {ORIGIN}"));
        assert!(error.help().contains("cargo xtask build-ebpf"));
    }

    /// Pulling data into the linear part panics kernels before 6.16 on UDP GSO fragment lists.
    #[test]
    fn e03_the_programs_never_pull() {
        const CALL: u8 = 0x85;
        const SKB_PULL_DATA: i32 = 39;
        const SKB_LOAD_BYTES: i32 = 26;
        let Ok(bytes) = object() else { return };
        let parsed = aya_obj::Object::parse(bytes).unwrap();
        let instructions = parsed.functions.values().flat_map(|function| &function.instructions);
        let helpers: Vec<i32> = instructions
            .filter(|instruction| instruction.code == CALL && instruction.src_reg() == 0)
            .map(|instruction| instruction.imm)
            .collect();
        assert!(helpers.contains(&SKB_LOAD_BYTES), "these aren't the helpers: {helpers:?}");
        assert!(!helpers.contains(&SKB_PULL_DATA));
    }

    #[test]
    fn what_is_embedded_is_an_elf_object_or_refused() {
        match object() {
            Ok(bytes) => assert_eq!(&bytes[..4], b"\x7fELF"),
            Err(error) => assert!(OBJECT.is_empty(), "{error}"),
        }
    }
}

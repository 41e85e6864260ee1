//! What of an object goes into the daemon.

use object::build::Error;
use object::build::elf::{Builder, SectionData};
use object::elf::SHT_STRTAB;

/// The object without what only a debugger reads, two thirds of it: the daemon reads its object at each start, and what it has read stays in memory.
/// Instructions, maps, relocations and types (BTF) stay.
pub fn without_debug(object: &[u8]) -> Result<Vec<u8>, Error> {
    let mut builder = Builder::read(object)?;
    for section in &mut builder.sections {
        let name = section.name.as_slice();
        section.delete = name.starts_with(b".debug_") || name.starts_with(b".rel.debug_");
    }
    // Relocations of what is gone named symbols of it.
    builder.delete_orphan_symbols();
    if !builder.sections.iter().any(|section| matches!(section.data, SectionData::SectionString)) {
        // LLVM keeps the names of sections among those of symbols.
        let names = builder.sections.add();
        (names.name, names.sh_type) = (".shstrtab".into(), SHT_STRTAB);
        names.data = SectionData::SectionString;
    }
    let mut kept = Vec::new();
    builder.write(&mut kept)?;
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use object::Endianness;

    use super::*;

    fn object(names: &[&'static str]) -> Vec<u8> {
        let mut builder = Builder::new(Endianness::Little, true);
        for name in names.iter().copied().chain([".shstrtab"]) {
            let section = builder.sections.add();
            section.name = name.into();
            section.sh_type = object::elf::SHT_PROGBITS;
            section.data = SectionData::Data(name.as_bytes().into());
            if name == ".shstrtab" {
                (section.sh_type, section.data) = (object::elf::SHT_STRTAB, SectionData::SectionString);
            }
        }
        let mut bytes = Vec::new();
        builder.write(&mut bytes).unwrap();
        bytes
    }

    fn sections(object: &[u8]) -> Vec<String> {
        let builder = Builder::read(object).unwrap();
        builder.sections.iter().map(|section| section.name.to_string()).collect()
    }

    #[test]
    fn types_and_instructions_stay_and_what_debuggers_read_goes() {
        let whole = object(&["classifier", ".BTF", ".BTF.ext", ".debug_info", ".rel.debug_info", ".maps"]);
        assert_eq!(sections(&whole).len(), 7);
        let kept = without_debug(&whole).unwrap();
        assert_eq!(sections(&kept), ["classifier", ".BTF", ".BTF.ext", ".maps", ".shstrtab"]);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        assert!(without_debug(b"nothing").is_err());
    }
}

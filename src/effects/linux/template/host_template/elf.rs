//! Which libraries a program needs, read from the file itself: nothing is executed (elf(5), ld.so(8)).
//!
//! 64-bit little-endian objects alone; others have no libraries here.

/// Is what an object says it needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Needs {
    /// The program that loads it: the dynamic linker.
    pub interpreter: Option<String>,
    /// The names of the libraries.
    pub libraries: Vec<String>,
    /// Where to look first; `$ORIGIN` is the object's own directory.
    pub run_path: Vec<String>,
}

const LOAD: u32 = 1;
const DYNAMIC: u32 = 2;
const INTERPRETER: u32 = 3;
const NEEDED: u64 = 1;
const STRINGS: u64 = 5;
const RPATH: u64 = 15;
const RUNPATH: u64 = 29;

struct Segment {
    kind: u32,
    offset: usize,
    address: u64,
    length: usize,
}

/// Reads what an object needs; nothing if it is none.
pub(super) fn needs(bytes: &[u8]) -> Option<Needs> {
    // ELF, 64 bits, little-endian.
    if bytes.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let table = usize::try_from(u64_at(bytes, 32)?).ok()?;
    let (size, count) = (usize::from(u16_at(bytes, 54)?), usize::from(u16_at(bytes, 56)?));
    let places = (0..count).map(|index| index.checked_mul(size)?.checked_add(table));
    let segments = places.map(|at| segment(bytes, at?)).collect::<Option<Vec<_>>>()?;
    let part = |segment: &Segment| bytes.get(segment.offset..segment.offset.checked_add(segment.length)?);
    let find = |kind| segments.iter().find(|segment| segment.kind == kind);
    let interpreter = find(INTERPRETER).and_then(part).and_then(|text| string_at(text, 0));
    let mut needs = Needs { interpreter, ..Needs::default() };
    let Some(dynamic) = find(DYNAMIC).and_then(part) else { return Some(needs) };
    let entries: Vec<(u64, u64)> = dynamic
        .chunks_exact(16)
        .filter_map(|entry| Some((u64_at(entry, 0)?, u64_at(entry, 8)?)))
        .take_while(|(tag, _)| *tag != 0)
        .collect();
    let strings = entries.iter().find(|(tag, _)| *tag == STRINGS).and_then(|(_, address)| {
        let segment = segments
            .iter()
            .filter(|segment| segment.kind == LOAD)
            .find(|segment| *address >= segment.address && *address - segment.address < segment.length as u64)?;
        bytes.get(segment.offset.checked_add((*address - segment.address) as usize)?..)
    });
    let Some(strings) = strings else { return Some(needs) };
    for (tag, value) in entries {
        let Some(text) = usize::try_from(value).ok().and_then(|at| string_at(strings, at)) else { continue };
        match tag {
            NEEDED => needs.libraries.push(text),
            RPATH | RUNPATH => needs.run_path.extend(text.split(':').map(str::to_owned)),
            _ => {}
        }
    }
    Some(needs)
}

fn segment(bytes: &[u8], at: usize) -> Option<Segment> {
    let bytes = bytes.get(at..at.checked_add(56)?)?;
    Some(Segment {
        kind: u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?),
        offset: usize::try_from(u64_at(bytes, 8)?).ok()?,
        address: u64_at(bytes, 16)?,
        length: usize::try_from(u64_at(bytes, 32)?).ok()?,
    })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

fn string_at(bytes: &[u8], at: usize) -> Option<String> {
    let text = bytes.get(at..)?;
    let end = text.iter().position(|byte| *byte == 0)?;
    Some(std::str::from_utf8(&text[..end]).ok()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_libraries_of_this_program_are_found() {
        let found = needs(&std::fs::read("/proc/self/exe").unwrap()).unwrap();
        assert!(found.interpreter.is_none_or(|path| path.contains("ld")));
        assert!(found.libraries.is_empty() || found.libraries.iter().any(|name| name.starts_with("libc")));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = needs(&[b"\x7fELF\x02\x01".as_slice(), &bytes].concat());
        }
    }
}

//! Groups files of an archive for reads.

use super::Packed;

/// One request reads across gaps of at most this many bytes.
pub const GAP: u64 = 64 << 10;

/// The most bytes of one request, unless a single file is larger.
const RUN: u64 = 16 << 20;

/// Files that are adjacent in the archive, for one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run<'a> {
    /// Offset of the first byte.
    pub start: u64,
    /// Offset after the last byte.
    pub end: u64,
    /// In the order of the archive.
    pub files: Vec<(&'a str, &'a Packed)>,
}

/// Groups all files into runs.
pub fn runs<'a>(files: impl IntoIterator<Item = (&'a String, &'a Packed)>) -> Vec<Run<'a>> {
    let mut order: Vec<(&str, &Packed)> = files
        .into_iter()
        .map(|(path, packed)| (path.as_str(), packed))
        .collect();
    order.sort_by_key(|(_, packed)| packed.start);
    let mut runs: Vec<Run<'a>> = Vec::new();
    for (path, packed) in order {
        match runs.last_mut() {
            Some(run)
                if packed.start.saturating_sub(run.end) <= GAP
                    && packed.end.saturating_sub(run.start) <= RUN =>
            {
                run.end = packed.end;
                run.files.push((path, packed));
            }
            _ => runs.push(Run {
                start: packed.start,
                end: packed.end,
                files: vec![(path, packed)],
            }),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Every file is read once, whole, in order, and no run is longer than necessary.
        #[test]
        fn runs_cover_every_file_once(sizes in prop::collection::vec((0..200_000_u64, 0..20_000_000_u64), 1..40)) {
            let mut at = 0;
            let mut files = BTreeMap::new();
            for (number, (gap, length)) in sizes.into_iter().enumerate() {
                let start = at + gap;
                at = start + 30 + length;
                let packed = Packed { start, end: at, length, size: length, crc32: 0, deflated: false };
                // The order of names differs from the order of bytes.
                files.insert(format!("{:x}", 1000 - number), packed);
            }
            let runs = runs(&files);
            let read: usize = runs.iter().map(|run| run.files.len()).sum();
            prop_assert_eq!(read, files.len());
            let mut last = 0;
            for run in &runs {
                prop_assert!(run.files.len() == 1 || run.end - run.start <= RUN);
                prop_assert!(run.start >= last);
                last = run.start;
                for (_, packed) in &run.files {
                    prop_assert!(packed.start >= last && packed.end <= run.end);
                    last = packed.end;
                }
            }
        }
    }
}

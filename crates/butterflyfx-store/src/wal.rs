//! Damage in the log that SQLite would take for its end.
//!
//! SQLite reads the log up to the first frame whose checksum fails, and forgets the rest: that is how a
//! commit that a crash cut short disappears. A damaged frame looks the same, and would take every later
//! commit with it. Where each commit was synced, a crash can cut short the last one only; so a log with
//! two or more commits at or behind its first bad frame is damaged, and the start is refused. (Damage
//! within the very last commit remains like a commit cut short.)

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;

/// Why the log at `path` is damaged: a sentence; `None` where it is sound, empty, or not there.
pub(crate) fn damage(path: &Path) -> io::Result<Option<String>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    let mut log = BufReader::with_capacity(1024 * 1024, file);
    let mut header = [0; HEADER_BYTES];
    if !filled(&mut log, &mut header)? {
        return Ok(None);
    }
    let Some(form) = Form::of(&header) else {
        // A header is synced before the first frame is written.
        let begun = length > HEADER_BYTES as u64;
        return Ok(begun.then(|| format!("the header of the log {} is not readable", path.display())));
    };

    let mut checksum = form.start;
    let mut frame = vec![0; FRAME_HEADER_BYTES + form.page_bytes];
    let (mut number, mut bad, mut commits_behind) = (0_u64, None, 0_u64);
    while filled(&mut log, &mut frame)? {
        number += 1;
        let (head, page) = frame.split_at(FRAME_HEADER_BYTES);
        if head.get(8..16) != Some(&form.salts[..]) {
            // Of a log before this one, in the same file.
            bad = bad.or(Some(number));
            continue;
        }
        if bad.is_none() {
            checksum = form.sum(checksum, head.get(..8).unwrap_or_default());
            checksum = form.sum(checksum, page);
            if [word(head, 16), word(head, 20)] != checksum {
                bad = Some(number);
            }
        }
        if bad.is_some() && word(head, 4) != 0 {
            commits_behind += 1;
        }
    }
    match bad {
        Some(bad) if commits_behind > 1 => Ok(Some(format!(
            "the log {} is not readable at frame {bad}, and {commits_behind} commits stand there and behind it",
            path.display()
        ))),
        _ => Ok(None),
    }
}

/// What a log's header says of its frames.
struct Form {
    page_bytes: usize,
    big_endian: bool,
    salts: [u8; 8],
    /// The header's checksum, with which the first frame's begins.
    start: [u32; 2],
}

impl Form {
    fn of(header: &[u8; HEADER_BYTES]) -> Option<Form> {
        let magic = word(header, 0);
        let page_bytes = usize::try_from(word(header, 8)).ok()?;
        let mut form = Form { page_bytes, big_endian: magic & 1 == 1, salts: [0; 8], start: [0; 2] };
        form.salts.copy_from_slice(header.get(16..24)?);
        form.start = form.sum([0; 2], header.get(..24)?);
        let good = magic & !1 == 0x377F_0682
            && (512..=65_536).contains(&page_bytes)
            && page_bytes.is_power_of_two()
            && form.start == [word(header, 24), word(header, 28)];
        good.then_some(form)
    }

    /// SQLite's checksum of the log, carried on over `bytes`, a multiple of 8.
    fn sum(&self, [mut one, mut two]: [u32; 2], bytes: &[u8]) -> [u32; 2] {
        let read = if self.big_endian { u32::from_be_bytes } else { u32::from_le_bytes };
        for pair in bytes.chunks_exact(8) {
            let &[a, b, c, d, e, f, g, h] = pair else { continue };
            one = one.wrapping_add(read([a, b, c, d])).wrapping_add(two);
            two = two.wrapping_add(read([e, f, g, h])).wrapping_add(one);
        }
        [one, two]
    }
}

/// The big-endian word at an offset.
fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u32::from_be_bytes(*word))
}

/// Fills the buffer; `false` where the file ends before.
fn filled(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

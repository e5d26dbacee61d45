//! The `Date` header's text: `Sun, 06 Nov 1994 08:49:37 GMT`.

use super::time::civil_from_days;
use butterflyfx_engine::model::Timestamp;

/// Its length.
pub(crate) const BYTES: usize = 29;

const SECONDS_PER_DAY: i64 = 86_400;
const WEEKDAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// The text of a time, cut to the second.
pub(crate) fn text(time: Timestamp) -> [u8; BYTES] {
    let seconds = time.0.div_euclid(1_000_000);
    let days = seconds.div_euclid(SECONDS_PER_DAY);
    let in_day = seconds.rem_euclid(SECONDS_PER_DAY);
    let (year, month, day) = civil_from_days(days);
    let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    let mut put = |at: usize, part: &[u8]| text[at..at + part.len()].copy_from_slice(part);
    put(0, WEEKDAYS[days.rem_euclid(7) as usize]);
    put(5, &two(day));
    put(8, MONTHS[(month - 1).rem_euclid(12) as usize]);
    put(12, &two(year / 100));
    put(14, &two(year));
    put(17, &two(in_day / 3600));
    put(20, &two(in_day / 60 % 60));
    put(23, &two(in_day % 60));
    text
}

/// The last two digits of a number.
fn two(number: i64) -> [u8; 2] {
    let number = number.unsigned_abs();
    [b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        // Expected: email.utils.formatdate(..., usegmt=True) of CPython.
        for (seconds, expected) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_795_439_217, "Mon, 23 Nov 2026 13:06:57 GMT"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
        ] {
            let text = text(Timestamp(seconds * 1_000_000 + 999_999));
            assert_eq!(std::str::from_utf8(&text), Ok(expected));
        }
    }
}

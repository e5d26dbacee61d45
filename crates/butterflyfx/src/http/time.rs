//! RFC 3339 times, written and read by hand: UTC with microseconds out, any offset in.

use super::wire::write::push_ascii;
use butterflyfx_engine::model::Timestamp;

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
/// 0000-01-01T00:00:00Z and the microsecond before 10000-01-01T00:00:00Z.
const MICROS_MIN: i64 = -62_167_219_200 * MICROS_PER_SECOND;
const MICROS_MAX: i64 = 253_402_300_800 * MICROS_PER_SECOND - 1;

/// Appends a time as `2026-11-23T13:06:57.000001Z`. Years beyond 0 to 9999 are held there.
pub(crate) fn write(time: Timestamp, out: &mut String) {
    let micros = time.0.clamp(MICROS_MIN, MICROS_MAX);
    let seconds = micros.div_euclid(MICROS_PER_SECOND);
    let (year, month, day) = civil_from_days(seconds.div_euclid(SECONDS_PER_DAY));
    let in_day = seconds.rem_euclid(SECONDS_PER_DAY);
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    digits(year, &mut text[0..4]);
    digits(month, &mut text[5..7]);
    digits(day, &mut text[8..10]);
    digits(in_day / 3600, &mut text[11..13]);
    digits(in_day / 60 % 60, &mut text[14..16]);
    digits(in_day % 60, &mut text[17..19]);
    digits(micros.rem_euclid(MICROS_PER_SECOND), &mut text[20..26]);
    push_ascii(&text, out);
}

/// The last digits of a number, as many as there is room for.
fn digits(number: i64, text: &mut [u8]) {
    let mut rest = number.unsigned_abs();
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

/// The date of a day since 1970-01-01. Years are counted from March here, in eras of 400 years
/// of 146,097 days, so that the leap day is the last of its year.
pub(super) fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// The inverse of [`civil_from_days`].
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let march_year = year - i64::from(month <= 2);
    let era = march_year.div_euclid(400);
    let year_of_era = march_year.rem_euclid(400);
    let march_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Reads an RFC 3339 time; `None` where it is none. Digits beyond microseconds are cut off; a
/// leap second reads as the second before it.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    let mut rest = text.as_bytes();
    let year = number(&mut rest, 4)?;
    expect(&mut rest, b"-")?;
    let month = number(&mut rest, 2)?;
    expect(&mut rest, b"-")?;
    let day = number(&mut rest, 2)?;
    expect(&mut rest, b"Tt ")?;
    let hour = number(&mut rest, 2)?;
    expect(&mut rest, b":")?;
    let minute = number(&mut rest, 2)?;
    expect(&mut rest, b":")?;
    let second = number(&mut rest, 2)?;
    let mut micros = 0;
    if rest.first() == Some(&b'.') {
        expect(&mut rest, b".")?;
        let mut unit = 100_000;
        let mut any = false;
        while let Some(digit) = rest.first().filter(|byte| byte.is_ascii_digit()) {
            micros += i64::from(digit - b'0') * unit;
            unit /= 10;
            any = true;
            rest = rest.get(1..)?;
        }
        if !any {
            return None;
        }
    }
    let offset_seconds = match rest.first()? {
        b'Z' | b'z' => {
            expect(&mut rest, b"Zz")?;
            0
        }
        sign => {
            let sign = match sign {
                b'+' => 1,
                b'-' => -1,
                _ => return None,
            };
            expect(&mut rest, b"+-")?;
            let hours = number(&mut rest, 2)?;
            expect(&mut rest, b":")?;
            let minutes = number(&mut rest, 2)?;
            if hours > 23 || minutes > 59 {
                return None;
            }
            sign * (hours * 3600 + minutes * 60)
        }
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !rest.is_empty() || day < 1 || day > days_in_month || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds =
        days_from_civil(year, month, day) * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second.min(59)
            - offset_seconds;
    Some(Timestamp(seconds * MICROS_PER_SECOND + micros))
}

fn number(rest: &mut &[u8], digits: usize) -> Option<i64> {
    let (head, tail) = rest.split_at_checked(digits)?;
    *rest = tail;
    head.iter()
        .try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0')))
}

fn expect(rest: &mut &[u8], one_of: &[u8]) -> Option<()> {
    let (first, tail) = rest.split_first()?;
    *rest = tail;
    one_of.contains(first).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(micros: i64) -> String {
        let mut out = String::new();
        write(Timestamp(micros), &mut out);
        out
    }

    #[test]
    fn times_are_written() {
        // Expected: datetime.fromtimestamp(..., UTC).isoformat() of CPython.
        for (micros, expected) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"),
            (1_795_439_217_000_001, "2026-11-23T13:06:57.000001Z"),
            (i64::MAX, "9999-12-31T23:59:59.999999Z"),
            (i64::MIN, "0000-01-01T00:00:00.000000Z"),
        ] {
            assert_eq!(written(micros), expected);
        }
    }

    #[test]
    fn times_are_read() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1970-01-01t00:00:00z", Some(0)),
            ("1970-01-01 00:00:00.5Z", Some(500_000)),
            ("1970-01-01T01:00:00.0000019+01:00", Some(1)),
            ("1969-12-31T23:00:00-01:00", Some(0)),
            ("2016-12-31T23:59:60Z", Some(1_483_228_799_000_000)),
            ("2000-02-29T00:00:00Z", Some(951_782_400_000_000)),
            ("1900-02-29T00:00:00Z", None),
            ("2026-13-01T00:00:00Z", None),
            ("2026-00-01T00:00:00Z", None),
            ("2026-04-31T00:00:00Z", None),
            ("2026-01-00T00:00:00Z", None),
            ("2026-01-01T24:00:00Z", None),
            ("2026-01-01T00:60:00Z", None),
            ("2026-01-01T00:00:61Z", None),
            ("2026-01-01T00:00:00", None),
            ("2026-01-01T00:00:00.Z", None),
            ("2026-01-01T00:00:00+24:00", None),
            ("2026-01-01T00:00:00+0100", None),
            ("2026-01-01T00:00:00Zx", None),
            ("2026-01-01", None),
            ("", None),
            ("\u{661}970-01-01T00:00:00Z", None),
        ] {
            assert_eq!(parse(text), expected.map(Timestamp), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(micros in MICROS_MIN..=MICROS_MAX) {
            prop_assert_eq!(parse(&written(micros)), Some(Timestamp(micros)));
        }

        #[test]
        fn any_text_is_survived(text in ".{0,40}") {
            let _ = parse(&text);
        }
    }
}

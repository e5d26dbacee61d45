//! The id of a job: 128 random bits. Whoever has it may read the job and cancel it, so nobody may guess it.

use std::fmt;

/// Hex digits of the text.
const DIGITS: usize = 32;

/// The id of a job.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct JobId(u128);

impl JobId {
    /// A new id; `None` where the system gives no random bits.
    pub(crate) fn new() -> Option<JobId> {
        let mut bytes = [0; 16];
        match getrandom::fill(&mut bytes) {
            Ok(()) => Some(JobId(u128::from_be_bytes(bytes))),
            Err(error) => {
                tracing::error!(%error, "the system gives no random bits, so there are no jobs");
                None
            }
        }
    }

    /// Reads the text of an id. It has one spelling.
    pub(crate) fn parse(text: &str) -> Option<JobId> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let is_id = text.len() == DIGITS && text.bytes().all(is_digit);
        is_id.then(|| u128::from_str_radix(text, 16).ok().map(JobId)).flatten()
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:032x}", self.0)
    }
}

/// Only its beginning, for it may come into a log.
impl fmt::Debug for JobId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "JobId({:08x}...)", self.0 >> 96)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_differ_in_all_their_bits() {
        let ids: Vec<JobId> = (0..200).map(|_| JobId::new().expect("random bits")).collect();
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
        // A bit that were the same in all 200 would be so by chance once in 2^199 times.
        let (all, any) = ids.iter().fold((u128::MAX, 0), |(all, any), id| (all & id.0, any | id.0));
        assert_eq!((all, any), (0, u128::MAX));
        for id in ids {
            assert_eq!(JobId::parse(&id.to_string()), Some(id));
        }
    }

    #[test]
    fn an_id_has_one_spelling() {
        let check = |text: &str, is_id: bool| assert_eq!(JobId::parse(text).is_some(), is_id, "{text}");
        check("0123456789abcdef0123456789abcdef", true);
        check("0123456789ABCDEF0123456789abcdef", false);
        check("123456789abcdef0123456789abcdef", false);
        check("+123456789abcdef0123456789abcdef", false);
        check("0123456789abcdef0123456789abcdef0", false);
        check("", false);
    }
}

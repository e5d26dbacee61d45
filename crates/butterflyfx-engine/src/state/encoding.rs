//! The bytes that documents and constants share: integers of variable length, texts with their
//! length. These bytes never leave the process.

/// Appends 7 bits a byte, lowest first.
pub(crate) fn put_length(mut n: u64, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Appends a signed integer, small magnitudes short.
pub(crate) fn put_int(i: i64, out: &mut Vec<u8>) {
    put_length(((i << 1) ^ (i >> 63)) as u64, out);
}

/// Appends a length and the text.
pub(crate) fn put_text(text: &str, out: &mut Vec<u8>) {
    put_length(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

/// Reads what this module wrote. Bytes come from our own memory alone; past their end it reads
/// zeros and empty texts rather than panic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes }
    }

    /// What was not read yet.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> u8 {
        match self.bytes.split_first() {
            Some((&first, rest)) => {
                self.bytes = rest;
                first
            }
            None => {
                debug_assert!(false, "read past the end of an encoding");
                0
            }
        }
    }

    #[inline]
    pub(crate) fn length(&mut self) -> u64 {
        let mut n = 0;
        let mut shift = 0;
        loop {
            let byte = self.byte();
            n |= u64::from(byte & 0x7F) << shift;
            shift += 7;
            if byte < 0x80 || shift > 63 {
                return n;
            }
        }
    }

    #[inline]
    pub(crate) fn int(&mut self) -> i64 {
        let n = self.length();
        (n >> 1) as i64 ^ -((n & 1) as i64)
    }

    #[inline]
    pub(crate) fn bytes(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.bytes.split_at_checked(length).unwrap_or_else(|| {
            debug_assert!(false, "read past the end of an encoding");
            (self.bytes, &[])
        });
        self.bytes = rest;
        taken
    }

    #[inline]
    pub(crate) fn text(&mut self) -> &'a str {
        let length = self.length() as usize;
        self.text_of(length)
    }

    /// A text whose length was read before. The check of UTF-8 costs less than a cache miss.
    #[inline]
    pub(crate) fn text_of(&mut self, length: usize) -> &'a str {
        std::str::from_utf8(self.bytes(length)).unwrap_or_default()
    }

    pub(crate) fn float(&mut self) -> f64 {
        let mut bits = [0; 8];
        let bytes = self.bytes(8);
        bits[..bytes.len()].copy_from_slice(bytes);
        f64::from_bits(u64::from_le_bytes(bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_come_back() {
        let mut bytes = Vec::new();
        let ints = [0, 1, -1, 63, -64, 64, 127, 128, i64::MAX, i64::MIN, -12_345_678_901];
        for i in ints {
            put_int(i, &mut bytes);
        }
        put_length(u64::MAX, &mut bytes);
        put_text("äb", &mut bytes);
        let mut reader = Reader::new(&bytes);
        for i in ints {
            assert_eq!(reader.int(), i);
        }
        assert_eq!(reader.length(), u64::MAX);
        assert_eq!((reader.text(), reader.rest()), ("äb", &[][..]));
    }
}

//! Bits of a JPEG's coded data, and the Huffman codes in them (ITU-T T.81, annexes C and F).

/// Codes of up to this many bits are found by one table lookup.
const FAST: u32 = 9;

/// Reads bits up to the next marker.
pub(super) struct Bits<'a> {
    file: &'a [u8],
    /// The next byte to take.
    at: usize,
    buffer: u64,
    /// Number of unread bits in the buffer; the newest are the lowest.
    left: u32,
    /// Number of these bits that lie beyond the end of the data.
    beyond: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(file: &'a [u8], at: usize) -> Self {
        Self { file, at, buffer: 0, left: 0, beyond: 0 }
    }

    /// Fills the buffer with at least 32 bits, with zeros after a marker or the file's end.
    fn refill(&mut self) {
        let four = self.file.get(self.at..).and_then(|rest| rest.first_chunk::<4>());
        if let Some(four) = four.map(|four| u32::from_be_bytes(*four))
            && self.left <= 32
            && !holds_ones(four)
        {
            self.buffer = self.buffer << 32 | u64::from(four);
            self.left += 32;
            self.at += 4;
            return;
        }
        while self.left <= 48 {
            let byte = match (self.file.get(self.at), self.file.get(self.at + 1)) {
                (Some(0xff), Some(0)) => {
                    self.at += 2;
                    0xff
                }
                (Some(&byte), _) if byte != 0xff => {
                    self.at += 1;
                    byte
                }
                _ => {
                    self.beyond += 8;
                    0
                }
            };
            self.buffer = self.buffer << 8 | u64::from(byte);
            self.left += 8;
        }
    }

    #[inline]
    fn peek(&mut self, count: u32) -> u32 {
        if self.left < count {
            self.refill();
        }
        (self.buffer >> (self.left - count)) as u32 & ((1 << count) - 1)
    }

    /// Reads up to 16 bits.
    #[inline]
    pub(super) fn take(&mut self, count: u32) -> u32 {
        let bits = self.peek(count);
        self.left -= count;
        bits
    }

    /// Reads a number of `size` bits, the lower half of whose values are negative.
    pub(super) fn number(&mut self, size: u32) -> i32 {
        if size == 0 {
            return 0;
        }
        let bits = self.take(size) as i32;
        if bits >> (size - 1) == 0 { bits - (1 << size) + 1 } else { bits }
    }

    /// Reads a code.
    #[inline]
    pub(super) fn code(&mut self, codes: &Codes) -> Result<u8, String> {
        if self.left < 32 {
            self.refill();
        }
        let next = self.peek(16);
        let (value, length) = codes.fast[(next >> (16 - FAST)) as usize];
        if length > 0 {
            self.left -= u32::from(length);
            return Ok(value);
        }
        let (value, length) = codes.find(next).ok_or("its coded data holds no valid code")?;
        self.left -= length;
        Ok(value)
    }

    /// Finds the marker that ends this piece of coded data, and returns its position.
    pub(super) fn end(self) -> Result<usize, String> {
        if self.beyond > self.left {
            return Err("its coded data ends early".to_owned());
        }
        // The bytes read ahead, without the bits that pad the last byte.
        let whole = (self.left - self.beyond) / 8;
        let unread = self.buffer & ((1_u128 << self.left) - 1) as u64;
        let mut padding = (0..whole).all(|i| {
            let byte = unread >> (self.beyond + 8 * i) as u64 & 0xff;
            byte == 0 || byte == 0xff
        });
        let mut at = self.at;
        loop {
            match (self.file.get(at), self.file.get(at + 1)) {
                (Some(0xff), Some(0)) => at += 2,
                // Fill bytes of 0xff can precede any marker.
                (Some(0xff), Some(0xff)) => at += 1,
                (Some(0xff), Some(_)) => break,
                (Some(byte), _) => {
                    padding &= *byte == 0;
                    at += 1;
                }
                (None, _) => return Err("its coded data ends early".to_owned()),
            }
        }
        if padding { Ok(at) } else { Err("its coded data has more than its pixels".to_owned()) }
    }
}

/// Whether one of four bytes is 0xff.
fn holds_ones(four: u32) -> bool {
    // The usual test for a zero byte, applied to the complement.
    let zeros = !four;
    zeros.wrapping_sub(0x0101_0101) & !zeros & 0x8080_8080 != 0
}

/// A Huffman code.
#[derive(Clone)]
pub(super) struct Codes {
    /// For each value of the next bits, the decoded value and the length of its code; 0 if that is
    /// longer.
    fast: Vec<(u8, u8)>,
    /// For each length, the first code, its index in `values`, and the number of codes.
    lengths: [(u32, usize, u32); 17],
    values: Vec<u8>,
}

impl Codes {
    /// Builds a code from the numbers of codes of 1 to 16 bits, and their values.
    pub(super) fn new(counts: &[u8; 16], values: &[u8]) -> Option<Self> {
        let mut lengths = [(0, 0, 0); 17];
        let mut fast = vec![(0, 0); 1 << FAST];
        let (mut code, mut place) = (0_u32, 0_usize);
        for (length, &count) in (1..).zip(counts) {
            lengths[length as usize] = (code, place, u32::from(count));
            for _ in 0..count {
                if code >> length != 0 {
                    return None;
                }
                let value = *values.get(place)?;
                if length <= FAST {
                    let start = (code << (FAST - length)) as usize;
                    fast[start..start + (1 << (FAST - length))].fill((value, length as u8));
                }
                code += 1;
                place += 1;
            }
            code <<= 1;
        }
        Some(Self { fast, lengths, values: values[..place].to_vec() })
    }

    /// The value whose code the next 16 bits start with, and its length.
    fn find(&self, next: u32) -> Option<(u8, u32)> {
        (1..=16_u32).find_map(|length| {
            let (first, place, count) = self.lengths[length as usize];
            let offset = (next >> (16 - length)).checked_sub(first)?;
            (offset < count).then(|| (self.values[place + offset as usize], length))
        })
    }
}

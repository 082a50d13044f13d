//! Checks that a JPEG's coded data exactly cover its pixels.
//!
//! The codes are read as by a decoder, without computing pixels (ITU-T T.81, annexes F and G).
//! Damage shows as an invalid code or number, or as data that end before the last block or after
//! it. Damage that only changes numbers cannot be noticed.

use super::bits::{Bits, Codes};

/// Coefficients in a block.
const BLOCK: usize = 64;

/// Maximum sizes in bits of the numbers in eight-bit pictures, with one to spare.
const DC_SIZE: u8 = 12;
const AC_SIZE: u8 = 11;

/// Greatest magnitude of a block's mean, in the finest steps.
const DC_MOST: i32 = 4096;

/// A component of the picture.
struct Component {
    id: u8,
    /// Blocks in an interleaved unit, across and down.
    unit: [usize; 2],
    /// Blocks across and down that hold pixels.
    blocks: [usize; 2],
    /// Blocks across, up to the last unit's end.
    stride: usize,
    /// For a progressive picture, the coefficients of each block that are known not to be 0.
    known: Vec<u64>,
}

#[derive(Default)]
struct Frame {
    progressive: bool,
    /// Units across and down.
    units: [usize; 2],
    components: Vec<Component>,
}

/// A scan's header.
struct Scan {
    /// Indices of its components, and the numbers of their codes.
    parts: Vec<(usize, usize, usize)>,
    /// First and last coefficient.
    band: [usize; 2],
    /// Whether it adds a bit to known numbers.
    refines: bool,
    /// The lowest bit of its numbers.
    shift: u32,
}

#[derive(Default)]
struct Reader {
    codes: [[Option<Codes>; 4]; 2],
    restart: usize,
    frame: Option<Frame>,
}

/// Checks the coded data of a file; kinds of coding that are not supported here pass unchecked.
///
/// # Errors
/// A description of what is wrong.
pub(super) fn check(file: &[u8]) -> Result<(), String> {
    let mut reader = Reader::default();
    let mut at = 2;
    while let Some(start) = file.get(at..).and_then(|rest| rest.iter().position(|&b| b == 0xff)) {
        let marker = file.get(at + start + 1).copied().unwrap_or_default();
        at += start + 2;
        match marker {
            0xff => at -= 1,
            0 | 0x01 | 0xd0..=0xd8 => {}
            0xd9 => return Ok(()),
            _ => {
                let length =
                    file.get(at..at + 2).map(|l| usize::from(l[0]) << 8 | usize::from(l[1]));
                let segment = length.and_then(|length| file.get(at + 2..at + length.max(2)));
                let segment = segment.ok_or("a segment ends early")?;
                at += segment.len() + 2;
                match marker {
                    0xc0..=0xc2 => reader.frame = frame(segment, marker == 0xc2),
                    // Lossless, hierarchical and arithmetic coding.
                    0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => return Ok(()),
                    0xc4 => reader.tables(segment).ok_or("its Huffman tables are damaged")?,
                    0xdd if segment.len() >= 2 => {
                        reader.restart = usize::from(segment[0]) << 8 | usize::from(segment[1]);
                    }
                    0xda => match reader.scan(file, at, segment)? {
                        Some(end) => at = end,
                        None => return Ok(()),
                    },
                    _ => {}
                }
            }
        }
    }
    Err("it has no end-of-image marker".to_owned())
}

/// Reads a frame's header; `None` if it has other than eight bits, or no size yet.
fn frame(segment: &[u8], progressive: bool) -> Option<Frame> {
    let [bits, h1, h0, w1, w0, count, parts @ ..] = segment else { return None };
    let [height, width] =
        [[*h1, *h0], [*w1, *w0]].map(|side| usize::from(u16::from_be_bytes(side)));
    let (parts, _) = parts.as_chunks::<3>();
    let parts = parts.get(..usize::from(*count))?;
    let sampling = |part: &[u8; 3]| [usize::from(part[1] >> 4), usize::from(part[1] & 15)];
    let most = |axis: usize| parts.iter().map(|part| sampling(part)[axis]).max().unwrap_or(0);
    let most = [most(0), most(1)];
    let odd = parts.iter().any(|part| sampling(part).iter().any(|side| !(1..=4).contains(side)));
    if *bits != 8 || height == 0 || width == 0 || parts.is_empty() || odd {
        return None;
    }
    let units = [width.div_ceil(8 * most[0]), height.div_ceil(8 * most[1])];
    let components = parts.iter().map(|part| {
        let unit = sampling(part);
        let side = |size: usize, axis: usize| (size * unit[axis]).div_ceil(most[axis]).div_ceil(8);
        let stride = units[0] * unit[0];
        let known = if progressive { stride * units[1] * unit[1] } else { 0 };
        let blocks = [side(width, 0), side(height, 1)];
        Component { id: part[0], unit, blocks, stride, known: vec![0; known] }
    });
    Some(Frame { progressive, units, components: components.collect() })
}

impl Reader {
    /// Reads Huffman tables.
    fn tables(&mut self, mut segment: &[u8]) -> Option<()> {
        while let Some((&place, rest)) = segment.split_first() {
            let (counts, values) = rest.split_first_chunk::<16>()?;
            let count: usize = counts.iter().map(|&count| usize::from(count)).sum();
            let (class, number) = (usize::from(place >> 4), usize::from(place & 15));
            let codes = Codes::new(counts, values.get(..count)?)?;
            *self.codes.get_mut(class)?.get_mut(number)? = Some(codes);
            segment = &values[count..];
        }
        Some(())
    }

    /// Reads a scan's coded data and returns its end, or `None` if the coding is not supported
    /// here.
    fn scan(&mut self, file: &[u8], at: usize, segment: &[u8]) -> Result<Option<usize>, String> {
        let Self { codes, restart, frame: Some(frame) } = self else { return Ok(None) };
        let Some(scan) = scan(segment, frame) else { return Ok(None) };
        let alone = scan.parts.len() == 1;
        let units = match scan.parts[..] {
            [(part, ..)] => frame.components[part].blocks,
            _ => frame.units,
        };
        let mut piece = Piece::new(file, at);
        let mut until_restart = if *restart == 0 { usize::MAX } else { *restart };
        let mut expected = 0;
        for unit in 0..units[0] * units[1] {
            if until_restart == 0 {
                let end = piece.end()?;
                if file.get(end + 1) != Some(&(0xd0 + expected)) {
                    return Err("a restart marker is missing in its coded data".to_owned());
                }
                piece = Piece::new(file, end + 2);
                expected = (expected + 1) % 8;
                until_restart = *restart;
            }
            until_restart -= 1;
            let [x, y] = [unit % units[0], unit / units[0]];
            for (number, &(part, dc, ac)) in scan.parts.iter().enumerate() {
                let Component { unit, stride, known, .. } = &mut frame.components[part];
                let [wide, high] = if alone { [1, 1] } else { *unit };
                for inner in 0..wide * high {
                    let block = (y * high + inner / wide) * *stride + x * wide + inner % wide;
                    let (dc, ac) = (&codes[0][dc], &codes[1][ac]);
                    if frame.progressive {
                        let known = &mut known[block];
                        piece.progressive(&scan, number, dc, ac, known)?;
                    } else {
                        piece.sequential(number, dc, ac)?;
                    }
                }
            }
        }
        piece.end().map(Some)
    }
}

/// Reads a scan's header.
fn scan(segment: &[u8], frame: &Frame) -> Option<Scan> {
    let (&count, rest) = segment.split_first()?;
    let (parts, band) = rest.split_at_checked(2 * usize::from(count))?;
    let [first, last, bits, ..] = band else { return None };
    let part = |pair: &[u8]| {
        let place = frame.components.iter().position(|component| component.id == pair[0])?;
        let (dc, ac) = (usize::from(pair[1] >> 4), usize::from(pair[1] & 15));
        (dc < 4 && ac < 4).then_some((place, dc, ac))
    };
    let parts: Vec<_> = parts.chunks_exact(2).map(part).collect::<Option<_>>()?;
    let band = [usize::from(*first), usize::from(*last)];
    let (refines, shift) = (bits >> 4 != 0, u32::from(bits & 15));
    let possible = band[0] <= band[1] && band[1] < BLOCK && shift < 14;
    let one = parts.len() == 1 || band[0] == 0;
    (!parts.is_empty() && parts.len() <= 4 && possible && one).then_some(Scan {
        parts,
        band,
        refines,
        shift,
    })
}

/// Coded data between two restarts.
struct Piece<'a> {
    bits: Bits<'a>,
    /// The last mean of each component of the scan.
    means: [i32; 4],
    /// Number of following blocks that have no more coefficients in this scan.
    empty: u32,
}

impl<'a> Piece<'a> {
    fn new(file: &'a [u8], at: usize) -> Self {
        Self { bits: Bits::new(file, at), means: [0; 4], empty: 0 }
    }

    fn end(self) -> Result<usize, String> {
        if self.empty > 0 { Err(impossible()) } else { self.bits.end() }
    }

    fn mean(&mut self, number: usize, codes: &Option<Codes>, shift: u32) -> Result<(), String> {
        let size = self.bits.code(codes.as_ref().ok_or_else(no_codes)?)?;
        if size > DC_SIZE {
            return Err(impossible());
        }
        self.means[number] += self.bits.number(u32::from(size));
        if self.means[number].abs() << shift > DC_MOST { Err(impossible()) } else { Ok(()) }
    }

    /// Reads a block with all its coefficients.
    fn sequential(
        &mut self,
        number: usize,
        dc: &Option<Codes>,
        ac: &Option<Codes>,
    ) -> Result<(), String> {
        self.mean(number, dc, 0)?;
        let codes = ac.as_ref().ok_or_else(no_codes)?;
        let mut at = 1;
        while at < BLOCK {
            let code = self.bits.code(codes)?;
            let (zeros, size) = (usize::from(code >> 4), code & 15);
            match (zeros, size) {
                (15, 0) => at += 16,
                (_, 0) => break,
                _ => {
                    at += zeros;
                    if at >= BLOCK || size > AC_SIZE {
                        return Err(impossible());
                    }
                    self.bits.take(u32::from(size));
                    at += 1;
                }
            }
        }
        if at > BLOCK { Err(impossible()) } else { Ok(()) }
    }

    /// Reads a block's part of a progressive scan.
    fn progressive(
        &mut self,
        scan: &Scan,
        number: usize,
        dc: &Option<Codes>,
        ac: &Option<Codes>,
        known: &mut u64,
    ) -> Result<(), String> {
        let [first, last] = scan.band;
        match (first, scan.refines) {
            (0, false) => self.mean(number, dc, scan.shift),
            (0, true) => {
                self.bits.take(1);
                Ok(())
            }
            (_, false) => self.new_numbers(first, last, ac.as_ref().ok_or_else(no_codes)?, known),
            (_, true) => self.refined(first, last, ac.as_ref().ok_or_else(no_codes)?, known),
        }
    }

    fn new_numbers(
        &mut self,
        first: usize,
        last: usize,
        codes: &Codes,
        known: &mut u64,
    ) -> Result<(), String> {
        if self.empty > 0 {
            self.empty -= 1;
            return Ok(());
        }
        let mut at = first;
        while at <= last {
            let code = self.bits.code(codes)?;
            let (zeros, size) = (usize::from(code >> 4), code & 15);
            match (zeros, size) {
                (15, 0) => at += 16,
                (_, 0) => {
                    self.empty = (1 << zeros) - 1 + self.bits.take(zeros as u32);
                    break;
                }
                _ => {
                    at += zeros;
                    if at > last || size > AC_SIZE {
                        return Err(impossible());
                    }
                    self.bits.take(u32::from(size));
                    *known |= 1 << at;
                    at += 1;
                }
            }
        }
        if at > last + 1 { Err(impossible()) } else { Ok(()) }
    }

    fn refined(
        &mut self,
        first: usize,
        last: usize,
        codes: &Codes,
        known: &mut u64,
    ) -> Result<(), String> {
        let mut at = first;
        while self.empty == 0 && at <= last {
            let code = self.bits.code(codes)?;
            let (mut zeros, size) = (usize::from(code >> 4), code & 15);
            match (zeros, size) {
                (15, 0) => {}
                (_, 0) => {
                    self.empty = (1 << zeros) + self.bits.take(zeros as u32);
                    break;
                }
                // The sign of a new number.
                (_, 1) => {
                    self.bits.take(1);
                }
                _ => return Err(impossible()),
            }
            // Known numbers get another bit each while `zeros` zeros are skipped.
            while at <= last {
                if *known >> at & 1 == 1 {
                    self.bits.take(1);
                } else if zeros == 0 {
                    break;
                } else {
                    zeros -= 1;
                }
                at += 1;
            }
            if size == 1 {
                if at > last {
                    return Err(impossible());
                }
                *known |= 1 << at;
            }
            at += 1;
        }
        if self.empty > 0 {
            let rest = (at..=last).filter(|at| *known >> at & 1 == 1).count();
            for _ in 0..rest {
                self.bits.take(1);
            }
            self.empty -= 1;
        }
        Ok(())
    }
}

fn impossible() -> String {
    "its coded data is damaged".to_owned()
}

fn no_codes() -> String {
    "a Huffman table is missing".to_owned()
}

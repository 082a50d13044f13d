//! TensorBoard's `Event`, a protobuf message, as far as a run needs it.
//!
//! Fields stand in the order of their numbers and zeros are left out, as protobuf's own
//! writers do it (`event.proto` and `summary.proto` of TensorBoard).

/// The content of an event.
#[derive(Clone, Copy, Debug)]
pub enum What<'a> {
    /// The start of a file; without it, readers assume an older format.
    FileVersion,
    /// A run was (re)started at the event's step: earlier files' events from this step on are out
    /// of date.
    Start,
    /// Values by their tags.
    Scalars(&'a [(&'a str, f64)]),
    /// A picture: the bytes of a PNG file.
    Image { tag: &'a str, width: u32, height: u32, png: &'a [u8] },
}

/// Encodes an event; `wall_time` is in seconds since 1970.
pub fn encode(wall_time: f64, step: u64, what: What<'_>) -> Vec<u8> {
    let mut event = Vec::new();
    key(&mut event, 1, FIXED_64);
    event.extend(wall_time.to_le_bytes());
    number(&mut event, 2, step);
    match what {
        What::FileVersion => bytes(&mut event, 3, b"brain.Event:2"),
        What::Start => {
            let mut session = Vec::new();
            number(&mut session, 1, 1);
            bytes(&mut event, 7, &session);
        }
        What::Scalars(scalars) => {
            let mut summary = Vec::new();
            for &(tag, scalar) in scalars {
                let mut value = Vec::new();
                bytes(&mut value, 1, tag.as_bytes());
                key(&mut value, 2, FIXED_32);
                value.extend((scalar as f32).to_le_bytes());
                bytes(&mut summary, 1, &value);
            }
            bytes(&mut event, 5, &summary);
        }
        What::Image { tag, width, height, png } => {
            let mut image = Vec::new();
            number(&mut image, 1, height.into());
            number(&mut image, 2, width.into());
            bytes(&mut image, 4, png);
            let mut value = Vec::new();
            bytes(&mut value, 1, tag.as_bytes());
            bytes(&mut value, 4, &image);
            let mut summary = Vec::new();
            bytes(&mut summary, 1, &value);
            bytes(&mut event, 5, &summary);
        }
    }
    event
}

/// The step of an event from [`encode`]: it follows the time, unless it is 0.
pub fn step(event: &[u8]) -> u64 {
    match event.get(9..) {
        Some([first, rest @ ..]) if *first == 2 << 3 | VARINT => {
            let length = rest.iter().take_while(|&&byte| byte >= 0x80).count() + 1;
            let groups = rest.iter().take(length.min(9)).enumerate();
            groups.fold(0, |step, (place, byte)| step | u64::from(byte & 0x7F) << (7 * place))
        }
        _ => 0,
    }
}

const VARINT: u8 = 0;
const FIXED_64: u8 = 1;
const LENGTH_DELIMITED: u8 = 2;
const FIXED_32: u8 = 5;

/// A field's number, at most 15, and how its value is written.
fn key(message: &mut Vec<u8>, field: u8, wire_type: u8) {
    message.push(field << 3 | wire_type);
}

fn number(message: &mut Vec<u8>, field: u8, value: u64) {
    if value != 0 {
        key(message, field, VARINT);
        varint(message, value);
    }
}

fn bytes(message: &mut Vec<u8>, field: u8, value: &[u8]) {
    key(message, field, LENGTH_DELIMITED);
    varint(message, value.len() as u64);
    message.extend(value);
}

/// Seven bits per byte, the lowest first; the highest bit says that more bytes follow.
fn varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_of_an_event_is_found_again() {
        for expected in [0, 1, 127, 128, 300, 1 << 20, u64::from(u32::MAX), i64::MAX as u64] {
            for what in [What::FileVersion, What::Start, What::Scalars(&[("loss", 0.5)])] {
                assert_eq!(step(&encode(1.5, expected, what)), expected, "{what:?}");
            }
        }
        assert_eq!(step(b"short"), 0);
    }
}

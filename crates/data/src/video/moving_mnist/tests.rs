//! Digits fly as their labels say.

use super::*;
use crate::source::InMemory;

/// Ten "digits" of 4 × 4 pixels: all samples of digit d are 100 + d.
fn digits() -> Arc<dyn Source> {
    let pixels = (0..10_u8).flat_map(|digit| [100 + digit; 16]).collect();
    let classes = (0..10).map(|digit: u8| digit.to_string()).collect();
    let labels = (0..10).collect();
    Arc::new(InMemory::new("t", [4, 4, 1], pixels, labels, classes, Statistics::MNIST).unwrap())
}

fn options(digits: usize) -> MovingMnistOptions {
    MovingMnistOptions {
        videos: 60,
        test_videos: 30,
        digits,
        size: 24,
        digit_size: 4,
        frames: 12,
        speeds: vec![1.0, 2.5],
        ..MovingMnistOptions::default()
    }
}

fn videos(options: &MovingMnistOptions) -> MovingMnist {
    MovingMnist::new(digits(), Split::Train, options).unwrap()
}

fn frames(source: &MovingMnist, index: usize) -> Vec<Image<'_>> {
    let all: Vec<u64> = (0..source.options.frames).collect();
    source.frames(index, &all, &Cancel::default()).unwrap()
}

/// The first row and column of a digit's samples.
fn corner(frame: &Image<'_>, value: u8) -> Option<[i64; 2]> {
    let at: Vec<usize> = (0..24 * 24).filter(|&i| frame.pixels()[i] == value).collect();
    let (row, column) = (at.iter().map(|i| i / 24).min()?, at.iter().map(|i| i % 24).min()?);
    // A digit is wholly visible if nothing lies over it.
    (at.len() == 16).then_some([row as i64, column as i64])
}

#[test]
fn one_digit_is_what_its_labels_say_until_it_meets_a_wall() {
    let source = videos(&options(1));
    let names: Vec<&str> = source.label_sets().iter().map(|set| &*set.name).collect();
    assert_eq!(names, ["digit", "direction", "speed"]);
    let ways = [[0, 1], [1, 1], [1, 0], [1, -1], [0, -1], [-1, -1], [-1, 0], [-1, 1]];
    let mut seen = [false; 8];
    for index in 0..source.len() {
        let [digit, direction, speed] = [0, 1, 2].map(|set| source.label(index, set));
        let places: Vec<[i64; 2]> = frames(&source, index)
            .iter()
            .map(|frame| corner(frame, 100 + digit as u8).expect("nothing hides it"))
            .collect();
        // In the first two frames at most one axis can have bounced.
        let speed = [1.0, 2.5][speed as usize];
        let [row, column] = ways[direction as usize];
        let length = if row * column == 0 { speed } else { speed / f64::sqrt(2.0) };
        for (axis, way) in [row, column].into_iter().enumerate() {
            let inside = |place: i64| (3..=17).contains(&place);
            if places.iter().all(|place| inside(place[axis])) {
                let moved = (places[11][axis] - places[0][axis]) as f64;
                assert!((moved - way as f64 * length * 11.0).abs() <= 1.0, "{index}: {places:?}");
                seen[direction as usize] |= true;
            }
            for pair in places.windows(2) {
                assert!((pair[1][axis] - pair[0][axis]).abs() as f64 <= speed + 1.0);
            }
        }
    }
    assert_eq!(seen, [true; 8]);
}

#[test]
fn pairs_are_numbered_as_their_classes_are_named() {
    let source = videos(&options(2));
    let sets = source.label_sets();
    assert_eq!(
        sets.iter().map(|set| &*set.name).collect::<Vec<_>>(),
        ["digits", "direction", "direction2", "speed"]
    );
    assert_eq!(sets[0].classes.len(), 55);
    for index in 0..source.len() {
        let pair = &sets[0].classes[source.label(index, 0) as usize];
        let (low, high) = pair.split_once(' ').unwrap();
        let [low, high]: [u8; 2] = [low, high].map(|digit| digit.parse().unwrap());
        assert!(low <= high);
        let frames = frames(&source, index);
        let shown: Vec<u8> = frames.iter().flat_map(|frame| frame.pixels()).copied().collect();
        for value in 100..110 {
            let expected = value == 100 + low || value == 100 + high;
            // The lower of two can lie under the higher one all the time.
            let possible = shown.contains(&value) == expected || value == 100 + low;
            assert!(possible, "{index}: {pair} {value}");
        }
    }
}

#[test]
fn wrapping_digits_keep_their_direction_for_ever() {
    let options = MovingMnistOptions { walls: Walls::Wrap, frames: 200, ..options(1) };
    let source = videos(&options);
    for index in 0..10 {
        let value = 100 + source.label(index, 0) as u8;
        let frames = frames(&source, index);
        // All 16 samples are visible in every frame, on both sides of a border that they cross.
        for frame in &frames {
            assert_eq!(frame.pixels().iter().filter(|&&sample| sample == value).count(), 16);
        }
        let places: Vec<_> = frames.iter().map(|frame| corner(frame, value)).collect();
        for axis in 0..2 {
            let steps: Vec<i64> = places
                .windows(2)
                .filter_map(|pair| Some(pair[1]?[axis] - pair[0]?[axis]))
                .filter(|step| step.abs() < 4)
                .collect();
            let signs = |sign: i64| steps.iter().any(|step| step.signum() == sign);
            assert!(!(signs(1) && signs(-1)), "{index}: {steps:?}");
        }
    }
}

#[test]
fn videos_are_a_function_of_seed_split_and_index() {
    let pixels = |split, seed| -> Vec<u8> {
        let options = MovingMnistOptions { seed, ..options(2) };
        let source = MovingMnist::new(digits(), split, &options).unwrap();
        frames(&source, 3).iter().flat_map(|frame| frame.pixels().to_vec()).collect()
    };
    assert_eq!(pixels(Split::Train, 0), pixels(Split::Train, 0));
    assert_ne!(pixels(Split::Train, 0), pixels(Split::Train, 1));
    assert_ne!(pixels(Split::Train, 0), pixels(Split::Test, 0));
    // A frame read alone is the same as among all frames.
    let source = videos(&options(2));
    let alone = source.frames(5, &[7], &Cancel::default()).unwrap();
    assert_eq!(alone[0], frames(&source, 5)[7]);
}

#[test]
fn statistics_are_those_of_the_frames() {
    let source = videos(&options(1));
    let statistics = source.statistics();
    // 16 of 576 pixels are about 104.5 of 255.
    assert!((statistics.mean[0] - 16.0 / 576.0 * 104.5 / 255.0).abs() < 1e-3, "{statistics:?}");
    assert!((statistics.std[0] - 0.0673).abs() < 3e-3, "{statistics:?}");
}

#[test]
fn settings_out_of_range_are_named() {
    let error = |options: MovingMnistOptions| {
        MovingMnist::new(digits(), Split::Train, &options).err().unwrap().to_string()
    };
    assert!(error(options(3)).starts_with("digits = 3"));
    let large = MovingMnistOptions { digit_size: 25, ..options(1) };
    assert!(error(large).starts_with("digit_size = 25: must be at most size = 24"));
    for speeds in [vec![], vec![0.0], vec![24.0], vec![f64::NAN]] {
        assert!(error(MovingMnistOptions { speeds, ..options(1) }).starts_with("speeds = "));
    }
    let photos = InMemory::new(
        "t",
        [1, 1, 3],
        vec![0; 3],
        vec![0],
        vec!["a".to_owned()],
        Statistics::CIFAR10,
    );
    let error = MovingMnist::new(Arc::new(photos.unwrap()), Split::Train, &options(1));
    assert!(error.err().unwrap().to_string().contains("must be labelled grey images"));
}

//! The camera moves as its labels say.

use super::*;
use crate::source::InMemory;

/// A picture of 200 × 200 pixels whose red rises to the right and whose green downwards.
fn ramps() -> Arc<dyn Source> {
    let pixels = (0..200 * 200).flat_map(|i| [(i % 200) as u8, (i / 200) as u8, 90]).collect();
    let classes = vec!["ramp".to_owned()];
    let statistics = Statistics::CIFAR10;
    Arc::new(InMemory::new("t", [200, 200, 3], pixels, vec![0], classes, statistics).unwrap())
}

fn videos() -> CameraPans {
    let options = PanOptions { videos: 120, test_videos: 5, size: 16, frames: 9, seed: 0 };
    CameraPans::new(ramps(), Split::Train, &options).unwrap()
}

/// Means of the left, right, upper and lower half of a channel.
fn halves(frame: &Image<'_>, channel: usize) -> [f64; 4] {
    let mean = |half: fn(usize, usize) -> bool| {
        let inside = (0..256).filter(|i| half(i / 16, i % 16));
        inside.map(|i| f64::from(frame.pixels()[i * 3 + channel])).sum::<f64>() / 128.0
    };
    [mean(|_, x| x < 8), mean(|_, x| x >= 8), mean(|y, _| y < 8), mean(|y, _| y >= 8)]
}

#[test]
fn the_camera_moves_as_the_label_says() {
    let source = videos();
    let mut seen = [0; 12];
    for index in 0..source.len() {
        let motion = source.label(index, 0) as usize;
        let frames = source.frames(index, &[0, 8], &Cancel::default()).unwrap();
        let [first, last] = [0, 1].map(|at| [0, 1].map(|c| halves(&frames[at], c)));
        let mean = |halves: [f64; 4]| (halves[0] + halves[1]) / 2.0;
        let moved = [0, 1].map(|channel| mean(last[channel]) - mean(first[channel]));
        let steep = |of: [[f64; 4]; 2]| of[0][1] - of[0][0];
        match motion {
            0..8 => {
                let ways = [[1, 0], [1, 1], [0, 1], [-1, 1], [-1, 0], [-1, -1], [0, -1], [1, -1]];
                for axis in 0..2 {
                    let way = ways[motion][axis];
                    let found =
                        if moved[axis].abs() < 2.0 { 0 } else { moved[axis].signum() as i32 };
                    assert_eq!(found, way, "{index}: {} {moved:?}", MOTIONS[motion]);
                }
            }
            8 => assert!(steep(last) < 0.8 * steep(first), "zooming in"),
            9 => assert!(steep(last) > 1.2 * steep(first), "zooming out"),
            _ => {
                // The direction in which red rises, as an angle on the screen.
                let angle = |of: [[f64; 4]; 2]| (of[0][3] - of[0][2]).atan2(of[0][1] - of[0][0]);
                let turned = (angle(last) - angle(first)).rem_euclid(std::f64::consts::TAU);
                let clockwise = turned > 0.1 && turned < 2.0;
                assert_eq!(clockwise, motion == 10, "{index}: {turned}");
            }
        }
        seen[motion] += 1;
    }
    assert!(seen.iter().all(|&count| count > 0), "{seen:?}");
}

#[test]
fn videos_are_a_function_of_the_index_and_have_the_pictures_classes() {
    let (one, other) = (videos(), videos());
    let frames = |source: &CameraPans, wanted: &[u64]| -> Vec<Vec<u8>> {
        let frames = source.frames(7, wanted, &Cancel::default()).unwrap();
        frames.iter().map(|frame| frame.pixels().to_vec()).collect()
    };
    assert_eq!(frames(&one, &[0, 3, 8])[1], frames(&other, &[3])[0]);
    assert_eq!(one.label_sets().len(), 2);
    assert_eq!((one.label(7, 1), one.channels()), (0, 3));
    let statistics = one.statistics();
    assert!((statistics.mean[2] - 90.0 / 255.0).abs() < 1e-6, "{statistics:?}");
}

//! Labels, images and held-out parts of streams.

use std::collections::HashSet;
use std::fs;

use super::*;
use crate::source::{InMemory, Statistics};

/// `count` images of 3 × 2 pixels in `classes` classes; the value tells image and position.
fn source(count: usize, classes: usize, channels: usize) -> Arc<dyn Source> {
    let size = 6 * channels;
    let pixels = (0..count * size).map(|i| (i % 256) as u8).collect();
    let labels = (0..count).map(|i| (i % classes) as u8).collect();
    let names = (0..classes).map(|class| format!("class {class}")).collect();
    let statistics = if channels == 1 { Statistics::MNIST } else { Statistics::CIFAR10 };
    Arc::new(InMemory::new("t", [3, 2, channels], pixels, labels, names, statistics).unwrap())
}

fn both(count: usize, classes: usize, channels: usize) -> Both {
    [source(count, classes, channels), source(count / 2, classes, channels)]
}

fn pixels(source: &Arc<dyn Source>, index: usize) -> Vec<u8> {
    source.image(index).unwrap().pixels().to_vec()
}

#[test]
fn permuted_pixels_are_the_same_ones_in_an_order_of_the_task() {
    let both = both(10, 5, 3);
    let stream = TaskStream::permuted(&both, 3, 7).unwrap();
    assert_eq!(pixels(&stream.tasks[0].train, 4), pixels(&both[0], 4));
    let order = |task: usize, index: usize| -> Vec<usize> {
        let (own, changed) = (pixels(&both[0], index), pixels(&stream.tasks[task].train, index));
        let find = |pixel: &[u8]| own.chunks(3).position(|known| known == pixel).unwrap();
        changed.chunks(3).map(find).collect()
    };
    for task in 1..3 {
        assert_eq!(order(task, 0), order(task, 9), "one order for all images");
        assert_eq!(order(task, 0).into_iter().collect::<HashSet<_>>().len(), 6);
    }
    assert_ne!(order(1, 0), order(2, 0));
    let again = TaskStream::permuted(&both, 2, 7).unwrap();
    assert_eq!(pixels(&again.tasks[1].test, 3), pixels(&stream.tasks[1].test, 3));
    assert_eq!((stream.classes(), stream.tasks[1].train.label(3)), (5, Some(3)));
}

#[test]
fn classes_are_divided_and_labelled_from_zero() {
    let stream = TaskStream::divided(&both(20, 5, 1), 2).unwrap();
    assert_eq!((stream.tasks.len(), stream.classes()), (2, 2));
    assert_eq!(stream.tasks[1].name, "class 2, class 3");
    for (task, first) in stream.tasks.iter().zip([0, 2]) {
        for source in [&task.train, &task.test] {
            let labels: Vec<u32> = (0..source.len()).map(|i| source.label(i).unwrap()).collect();
            assert!(labels.contains(&0) && labels.contains(&1));
            assert!(labels.iter().all(|&label| label < 2));
        }
        // The first image of the source's class `first`.
        assert_eq!(pixels(&task.train, 0)[0], first * 6);
    }
    let error = TaskStream::divided(&both(20, 5, 1), 6).err().unwrap().to_string();
    assert_eq!(error, "classes_per_task = 6: must be in 1..=5, the classes of the data");
}

#[test]
fn rotations_turn_about_the_middle() {
    let names = vec!["a".to_owned(), "b".to_owned()];
    let mut image = vec![0; 25];
    image[2 * 5 + 4] = 200;
    let make = || -> Arc<dyn Source> {
        let pixels = [image.clone(), image.clone()].concat();
        let labels = vec![0, 1];
        Arc::new(
            InMemory::new("t", [5, 5, 1], pixels, labels, names.clone(), Statistics::MNIST)
                .unwrap(),
        )
    };
    let stream = TaskStream::rotated(&[make(), make()], 2).unwrap();
    assert_eq!(pixels(&stream.tasks[0].train, 0), image);
    assert_eq!((stream.tasks[1].name.as_str()), "90°");
    // What was at the right is at the top.
    let turned = pixels(&stream.tasks[1].train, 0);
    assert_eq!(turned[2], 200, "{turned:?}");
    assert_eq!(turned.iter().map(|&p| u32::from(p)).sum::<u32>(), 200);
}

#[test]
fn sets_of_grey_and_colour_become_colour() {
    let sets = vec![("grey".to_owned(), both(4, 2, 1)), ("colour".to_owned(), both(6, 3, 3))];
    let stream = TaskStream::of_sets(sets).unwrap();
    assert_eq!(stream.classes(), 3);
    let grey = &stream.tasks[0].train;
    assert_eq!((grey.channels(), pixels(grey, 1).len()), (3, 18));
    assert_eq!(pixels(grey, 1)[..3], [6, 6, 6]);
    assert_eq!(grey.statistics().mean.len(), 3);
    assert_eq!(pixels(&stream.tasks[1].train, 0), pixels(&both(6, 3, 3)[0], 0));
}

#[test]
fn what_is_held_out_is_not_trained_on() {
    let stream = TaskStream::divided(&both(40, 4, 1), 2).unwrap().holding_out(0.2, 3).unwrap();
    for task in &stream.tasks {
        let validation = task.validation.as_ref().unwrap();
        assert_eq!((task.train.len(), validation.len(), task.test.len()), (16, 4, 10));
        let of = |source: &Arc<dyn Source>| -> HashSet<String> {
            (0..source.len()).map(|index| source.describe(index)).collect()
        };
        assert!(of(&task.train).is_disjoint(&of(validation)));
    }
    for fraction in [0.0, 1.0, 0.001] {
        let stream = TaskStream::divided(&both(40, 4, 1), 2).unwrap();
        assert!(stream.holding_out(fraction, 3).is_err(), "{fraction}");
    }
}

#[test]
fn streams_that_are_none_are_refused() {
    let refused = |stream: Result<TaskStream, DataError>| stream.err().unwrap().to_string();
    assert_eq!(refused(TaskStream::rotated(&both(4, 2, 1), 0)), "count = 0: must be at least 1");
    let error = refused(TaskStream::rotated(&both(4, 1, 1), 2));
    assert_eq!(error, "classes = 1: task 0° has too few; every task needs at least 2");
    let folder = tempfile::tempdir().unwrap();
    let error = refused(TaskStream::of_folders(folder.path(), &OpenOptions::default()));
    assert!(error.contains("holds no folders"), "{error}");

    // One folder per task, but one has no test images.
    for (task, split, class) in [
        ("1 animals", "train", "cat"),
        ("1 animals", "train", "dog"),
        ("1 animals", "test", "cat"),
        ("1 animals", "test", "dog"),
        ("2 things", "train", "car"),
        ("2 things", "train", "hat"),
    ] {
        let place = folder.path().join(task).join(split).join(class);
        fs::create_dir_all(&place).unwrap();
        for number in 0..3 {
            let picture = ::image::RgbImage::from_pixel(4, 4, ::image::Rgb([number * 9, 0, 0]));
            picture.save(place.join(format!("{number}.png"))).unwrap();
        }
    }
    let error = refused(TaskStream::of_folders(folder.path(), &OpenOptions::default()));
    assert!(error.contains("2 things holds no test images"), "{error}");
    let options = OpenOptions { holdout: Some(0.5), ..OpenOptions::default() };
    let stream = TaskStream::of_folders(folder.path(), &options).unwrap();
    let names: Vec<&str> = stream.tasks.iter().map(|task| task.name.as_str()).collect();
    assert_eq!((names, stream.classes()), (vec!["1 animals", "2 things"], 2));
    assert_eq!(stream.tasks[0].train.len() + stream.tasks[0].test.len(), 12);

    // Images of a different size from those whose pixels are permuted.
    let odd: Arc<dyn Source> = Arc::new(
        InMemory::new(
            "odd",
            [2, 2, 1],
            vec![0; 8],
            vec![0, 1],
            vec!["a".into(), "b".into()],
            Statistics::MNIST,
        )
        .unwrap(),
    );
    let stream = TaskStream::permuted(&[source(4, 2, 1), odd], 2, 0).unwrap();
    let error = stream.tasks[1].test.image(0).unwrap_err().to_string();
    assert!(error.contains("it has 2 × 2 pixels, but the permutation needs 3 × 2"), "{error}");
}

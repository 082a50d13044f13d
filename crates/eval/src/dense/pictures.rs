//! Predictions of dense tasks next to the true labels, as panels of a sheet.

use tch::{Device, Kind, Tensor};

use super::detector::BoxBatch;
use super::objects::Detection;
use crate::picture::unit_values;
use crate::{EvalError, Picture, PictureLayout};

/// Paints each image, its true classes and its predicted ones side by side.
///
/// Images are u8 pixels [N, 3, H, W], labels [N, H, W] of an integer kind. Class 0 is black,
/// each other class has its own colour, and labels of 255 are grey.
///
/// # Errors
/// [`EvalError::Shape`] when sizes disagree or there is no image, [`EvalError::Kind`] unless
/// the images are u8.
pub fn paint_classes(
    images: &Tensor,
    truth: &Tensor,
    predicted: &Tensor,
    layout: &PictureLayout,
) -> Result<Picture, EvalError> {
    let size = check(images)?;
    for (what, labels) in [("true labels", truth), ("predicted labels", predicted)] {
        if labels.size() != [size[0], size[2], size[3]] {
            let expected = format!("[{}, {}, {}]", size[0], size[2], size[3]);
            return Err(EvalError::Shape { what, found: labels.size(), expected });
        }
    }
    let colours: Vec<f32> = (0..256).flat_map(colour).collect();
    let colours = Tensor::from_slice(&colours).view([256, 3]);
    let coloured = |labels: &Tensor| {
        let labels = labels.to_device(Device::Cpu).to_kind(Kind::Int64).clamp(0, 255);
        colours
            .index_select(0, &labels.reshape([-1]))
            .view([size[0], size[2], size[3], 3])
            .permute([0, 3, 1, 2])
    };
    let images = unit_values("images", &images.to_device(Device::Cpu))?;
    Ok(layout.paint(&Tensor::stack(&[&images, &coloured(truth), &coloured(predicted)], 1)))
}

/// Paints each image, u8 pixels [N, 3, H, W], twice: with its true boxes, and with the predicted
/// ones, in the colours of their classes.
///
/// # Errors
/// [`EvalError::Shape`] unless there are as many lists of boxes as images,
/// [`EvalError::Kind`] unless the images are u8.
pub fn paint_boxes(
    images: &Tensor,
    truth: &BoxBatch,
    predicted: &[Vec<Detection>],
    layout: &PictureLayout,
) -> Result<Picture, EvalError> {
    let size = check(images)?;
    if truth.classes.size()[0] != size[0] || predicted.len() as i64 != size[0] {
        let found = vec![truth.classes.size()[0], predicted.len() as i64];
        let (what, expected) = ("lists of boxes", format!("{} of each", size[0]));
        return Err(EvalError::Shape { what, found, expected });
    }
    let images = unit_values("images", &images.to_device(Device::Cpu))?;
    let (with_truth, with_found) = (images.copy(), images.copy());
    let classes = truth.classes.to_device(Device::Cpu);
    let corners = truth.corners.to_device(Device::Cpu).to_kind(Kind::Double);
    for image in 0..size[0] {
        let panel = with_truth.get(image);
        for at in 0..classes.size()[1] {
            let class = classes.int64_value(&[image, at]);
            let side = |side: i64| corners.double_value(&[image, at, side]);
            if class >= 0 {
                outline(&panel, [side(0), side(1), side(2), side(3)], class as usize);
            }
        }
        let panel = with_found.get(image);
        // The detection with the highest score is drawn last.
        for Detection { class, bbox: [left, top, width, height], .. } in
            predicted[image as usize].iter().rev()
        {
            outline(&panel, [*left, *top, left + width, top + height], *class);
        }
    }
    Ok(layout.paint(&Tensor::stack(&[with_truth, with_found], 1)))
}

fn check(images: &Tensor) -> Result<Vec<i64>, EvalError> {
    let found = images.size();
    if found.len() != 4 || found[1] != 3 || found.contains(&0) {
        let expected = "[N, 3, H, W] with N > 0".to_owned();
        return Err(EvalError::Shape { what: "images", found, expected });
    }
    Ok(found)
}

/// Draws the border of a box (left, top, right, bottom) into an image [3, H, W], one pixel wide.
fn outline(panel: &Tensor, bbox: [f64; 4], class: usize) {
    let (_, height, width) = panel.size3().expect("an image is [3, H, W]");
    let within = |at: f64, side: i64| (at.floor() as i64).clamp(0, side - 1);
    let [left, right] = [within(bbox[0], width), within(bbox[2] - 1e-6, width)];
    let [top, bottom] = [within(bbox[1], height), within(bbox[3] - 1e-6, height)];
    let (wide, high) = ((right - left).max(0) + 1, (bottom - top).max(0) + 1);
    for (channel, value) in colour(class + 1).into_iter().enumerate() {
        let plane = panel.get(channel as i64);
        for row in [top, bottom] {
            let _ = plane.get(row).narrow(0, left, wide).fill_(f64::from(value));
        }
        for column in [left, right] {
            let _ = plane.select(1, column).narrow(0, top, high).fill_(f64::from(value));
        }
    }
}

/// The colour of a label: hues a golden section apart.
fn colour(label: usize) -> [f32; 3] {
    match label {
        0 => [0.0; 3],
        255 => [0.5; 3],
        label => {
            let hue = (label as f32 * 0.618_034).fract() * 6.0;
            [5.0, 3.0, 1.0].map(|shift| {
                let place = (shift + hue) % 6.0;
                1.0 - place.min(4.0 - place).clamp(0.0, 1.0)
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: PictureLayout = PictureLayout { columns: 2, min_height: 1, gap: 0 };

    fn images() -> Tensor {
        Tensor::full([2, 3, 6, 8], 51, (Kind::Uint8, Device::Cpu))
    }

    #[test]
    fn classes_are_painted_beside_their_image() {
        let labels = Tensor::zeros([2, 6, 8], (Kind::Uint8, Device::Cpu));
        let _ = labels.narrow(1, 0, 1).fill_(255);
        let picture = paint_classes(&images(), &labels, &labels, &LAYOUT).unwrap();
        assert_eq!(picture.dimensions(), (2 * 3 * 8, 6));
        let at = |x, y| picture.image().get_pixel(x, y).0;
        assert_eq!((at(0, 0), at(8, 0), at(16, 1)), ([51; 3], [128; 3], [0; 3]));
        assert!(paint_classes(&images(), &labels.get(0), &labels, &LAYOUT).is_err());
    }

    #[test]
    fn boxes_are_outlined_in_their_class_colour() {
        let truth = vec![vec![(1, [1.0, 1.0, 4.0, 3.0])], vec![]];
        let truth = BoxBatch::new(&truth, Device::Cpu);
        let beyond = Detection { class: 1, bbox: [-5.0, 2.0, 100.0, 100.0], score: 0.5 };
        let picture = paint_boxes(&images(), &truth, &[vec![beyond], vec![]], &LAYOUT).unwrap();
        assert_eq!(picture.dimensions(), (2 * 2 * 8, 6));
        let at = |x, y| picture.image().get_pixel(x, y).0;
        let own = colour(2).map(|part| (part * 255.0).round() as u8);
        for (x, y) in [(1, 1), (4, 1), (4, 3), (1, 3), (2, 1), (8, 2), (15, 5)] {
            assert_eq!(at(x, y), own, "{x} {y}");
        }
        for (x, y) in [(0, 0), (2, 2), (5, 1), (1, 4), (9, 3), (8, 1)] {
            assert_eq!(at(x, y), [51; 3], "{x} {y}");
        }
        assert!(paint_boxes(&images(), &truth, &[], &LAYOUT).is_err());
    }
}

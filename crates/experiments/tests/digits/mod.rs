//! Generated digits, in MNIST's files.

use std::fs;
use std::path::Path;

/// Ten classes of 8 × 8 pixels: a bright bar whose place is the class, in MNIST's files.
pub fn write_digits(folder: &Path) {
    for (stem, count) in [("train", 400_u32), ("t10k", 100)] {
        let (mut images, mut labels) = (vec![0, 0, 8, 3], vec![0, 0, 8, 1]);
        images.extend([count, 8, 8].iter().flat_map(|side| side.to_be_bytes()));
        labels.extend(count.to_be_bytes());
        for image in 0..count {
            let class = image % 10;
            for place in 0..64 {
                let (row, column) = (place / 8, place % 8);
                let bar = if class < 5 { row == class + 1 } else { column == class - 4 };
                let noise = (image * 31 + place * 17) % 40;
                images.push(if bar { 200 + noise } else { noise } as u8);
            }
            labels.push(class as u8);
        }
        fs::write(folder.join(format!("{stem}-images-idx3-ubyte")), images).unwrap();
        fs::write(folder.join(format!("{stem}-labels-idx1-ubyte")), labels).unwrap();
    }
}

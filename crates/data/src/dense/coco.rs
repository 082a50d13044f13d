//! COCO's instance annotations, or any folder in their layout (Lin et al. 2014).
//!
//! `annotations/instances_NAME.json` next to the images in `NAME/`, `images/NAME/` or `images/`,
//! where NAME starts with `train` or `val`, as in `train2017`. Images can also lie at their file
//! names below the root, as when these start with `train2017/`.

mod categories;
mod document;
mod segmentation;

use std::collections::{BTreeSet, HashMap};
use std::path::{Component, Path, PathBuf};

use bauta_datasets::{DataError, Decoding, Split};

use self::categories::Categories;
use self::document::{Annotation, Document, ImageEntry};
use super::ade20k::decode;
use super::{DenseSample, DenseSource, Object};
use crate::image::claimed_size;
use crate::source::Statistics;
use crate::source::listing::entries;

/// Longest side that an image may claim.
const LONGEST: usize = 1 << 15;

/// Photos with boxes and masks of their objects, in the order of their numbers.
#[derive(Debug)]
pub struct Coco {
    annotations: PathBuf,
    /// Folders in which the images are looked for by file name; the likeliest first.
    folders: [PathBuf; 3],
    images: Vec<(ImageEntry, Vec<Annotation>)>,
    categories: Categories,
    names: Vec<String>,
    decoding: Decoding,
}

impl Coco {
    /// Reads the annotations of both splits below `root`, training first.
    ///
    /// Classes are those of the training file, numbered from 0 in the order of its category
    /// numbers; the other file's categories are matched to them by name, and also by number if
    /// several have the same name. No picture may claim more than `max_pixels` pixels.
    ///
    /// # Errors
    /// As [`Self::open`], and when annotations of the test split have categories that the training
    /// file does not have.
    pub fn open_splits(root: &Path, max_pixels: u64) -> Result<[Self; 2], DataError> {
        let decoding = Decoding { max_pixels, ..Decoding::default() };
        let [train, mut test] = [Split::Train, Split::Test].map(|split| Self::open(split, root));
        let train = Self { decoding, ..train? };
        if let Ok(test) = &mut test {
            test.decoding = decoding;
            test.join(&train.categories)?;
        }
        Ok([train, test?])
    }

    /// Adopts the classes of the training annotations.
    fn join(&mut self, train: &Categories) -> Result<(), DataError> {
        let annotations = self.images.iter().flat_map(|(_, annotations)| annotations);
        let used: BTreeSet<u64> = annotations.map(|annotation| annotation.category_id).collect();
        let joined = train.joined(&self.categories, |number| used.contains(&number));
        self.categories =
            joined.map_err(|problem| DataError::malformed(&self.annotations, problem))?;
        self.names = self.categories.names();
        Ok(())
    }

    /// Reads the annotations of one split below `root`, with its own numbering of classes.
    ///
    /// [`Self::open_splits`] reads two splits with a common numbering. Here classes are numbered
    /// from 0 in the order of the file's category numbers. Images without objects are kept; objects
    /// without width or height are left out.
    ///
    /// # Errors
    /// When the folder lacks the file or the images, there are several files for the
    /// split, or the file is malformed: the message names the entry.
    pub fn open(split: Split, root: &Path) -> Result<Self, DataError> {
        let (annotations, name) = find(split, root)?;
        let candidates = [root.join(&name), root.join("images").join(&name), root.join("images")];
        let folder = candidates.iter().find(|folder| folder.is_dir()).cloned();
        let folder = folder.ok_or_else(|| DataError::Absent {
            path: root.to_path_buf(),
            wanted: format!("folder {name}, images/{name} or images"),
            remedy: "put the images that the annotations name there".to_owned(),
        })?;
        let (images, categories, notes) = index(Document::read(&annotations)?)
            .map_err(|problem| DataError::malformed(&annotations, problem))?;
        for note in notes {
            tracing::warn!(file = %annotations.display(), "{note}");
        }
        let (names, decoding) = (categories.names(), Decoding::default());
        let folders = [folder, root.to_path_buf(), root.join("images")];
        Ok(Self { annotations, folders, images, categories, names, decoding })
    }

    /// The file of the annotations.
    pub(super) fn annotations(&self) -> &Path {
        &self.annotations
    }

    /// The path of an image's file.
    fn picture(&self, entry: &ImageEntry) -> Result<PathBuf, DataError> {
        let mut candidates = self.folders.iter().map(|folder| folder.join(&entry.file_name));
        candidates.find(|path| path.exists()).ok_or_else(|| DataError::Absent {
            path: self.folders[0].clone(),
            wanted: entry.file_name.clone(),
            remedy: format!(
                "{} lists it (image {}); add the file, or remove its entry",
                self.annotations.display(),
                entry.id
            ),
        })
    }

    /// Refuses an image whose size differs from that in the annotations.
    fn check_size(&self, entry: &ImageEntry, found: [usize; 2]) -> Result<(), DataError> {
        let ImageEntry { id, height, width, .. } = entry;
        let [high, wide] = found;
        if found == [*height, *width] {
            return Ok(());
        }
        let problem = format!(
            "image {id} is listed with {height} × {width} pixels, but its file has {high} × {wide}"
        );
        Err(DataError::malformed(&self.annotations, problem))
    }

    /// The error for a problem with an annotation.
    fn wrong(&self, annotation: &Annotation, problem: &str) -> DataError {
        let problem = format!("annotation {}: {problem}", annotation.id);
        DataError::malformed(&self.annotations, problem)
    }

    fn object(&self, image: &ImageEntry, annotation: &Annotation) -> Result<Object, DataError> {
        let mask = annotation.segmentation.as_ref();
        let mask = mask.map(|segmentation| segmentation.mask(image.height, image.width));
        let mask = mask.transpose().map(Option::flatten);
        let mask = mask.map_err(|problem| self.wrong(annotation, &problem))?;
        let area = annotation.area.unwrap_or_else(|| match &mask {
            Some(mask) => mask.area() as f64,
            None => annotation.bbox[2] * annotation.bbox[3],
        });
        Ok(Object {
            class: self.categories.class(annotation.category_id).expect("it was checked") as u32,
            bbox: annotation.bbox,
            area,
            crowd: annotation.iscrowd,
            mask,
        })
    }
}

impl DenseSource for Coco {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn pixel_classes(&self) -> &[String] {
        &[]
    }

    fn object_classes(&self) -> &[String] {
        &self.names
    }

    fn sample(&self, index: usize) -> Result<DenseSample, DataError> {
        let (entry, annotations) = &self.images[index];
        let image = decode(&self.picture(entry)?, self.decoding)?;
        self.check_size(entry, [image.height(), image.width()])?;
        let objects = annotations.iter().map(|annotation| self.object(entry, annotation));
        Ok(DenseSample { image, labels: None, objects: objects.collect::<Result<_, _>>()? })
    }

    fn look(&self, index: usize) -> Result<bool, DataError> {
        let (entry, annotations) = &self.images[index];
        for annotation in annotations {
            let mask = annotation.segmentation.as_ref();
            let checked = mask.map_or(Ok(()), |mask| mask.check(entry.height, entry.width));
            checked.map_err(|problem| self.wrong(annotation, &problem))?;
        }
        self.check_size(entry, claimed_size(&self.picture(entry)?, self.decoding)?)?;
        Ok(annotations.iter().any(|annotation| !annotation.iscrowd))
    }

    fn describe(&self, index: usize) -> String {
        let entry = &self.images[index].0;
        let listed = || self.folders[0].join(&entry.file_name);
        self.picture(entry).unwrap_or_else(|_| listed()).display().to_string()
    }

    fn statistics(&self) -> Statistics {
        Statistics::IMAGENET
    }
}

/// The annotation file of a split, and its name, which is also that of the images' folder.
fn find(split: Split, root: &Path) -> Result<(PathBuf, String), DataError> {
    let start = match split {
        Split::Train => "train",
        Split::Test => "val",
    };
    let folder = root.join("annotations");
    let absent = || DataError::Absent {
        path: root.to_path_buf(),
        wanted: format!("annotations/instances_{start}….json"),
        remedy: "name the folder that holds COCO's `annotations` and images".to_owned(),
    };
    if !folder.is_dir() {
        return Err(absent());
    }
    let named = |path: PathBuf| {
        let name = path.file_name()?.to_str()?.strip_prefix("instances_")?.strip_suffix(".json")?;
        name.starts_with(start).then(|| name.to_owned()).map(|name| (path, name))
    };
    let mut found: Vec<_> = entries(&folder)?.into_iter().filter_map(named).collect();
    match (found.pop(), found.pop()) {
        (Some((_, last)), Some((_, other))) => Err(DataError::malformed(
            &folder,
            format!("both instances_{other}.json and instances_{last}.json; keep one"),
        )),
        (only, _) => only.ok_or_else(absent),
    }
}

type Indexed = (Vec<(ImageEntry, Vec<Annotation>)>, Categories, Vec<String>);

/// Pixels by which a box may reach beyond its image without a warning, because sides are rounded.
const OVERHANG: f64 = 1.0;

/// Checks every entry and assigns annotations to their images; also returns notes on boxes that
/// have no width or height, or reach beyond their image.
fn index(document: Document) -> Result<Indexed, String> {
    let categories = Categories::of(document.categories)?;

    let mut images: Vec<_> = document.images.into_iter().map(|image| (image, Vec::new())).collect();
    images.sort_by_key(|(image, _)| image.id);
    if images.is_empty() {
        return Err("it lists no images".to_owned());
    }
    let mut places = HashMap::with_capacity(images.len());
    for (place, (image, _)) in images.iter().enumerate() {
        check_image(image)?;
        if places.insert(image.id, place).is_some() {
            return Err(format!("two images have number {}", image.id));
        }
    }
    let (mut empty, mut beyond, mut first_beyond) = (0, 0, None);
    let boxes = document.annotations.len();
    for annotation in document.annotations {
        check_annotation(&annotation, &categories)?;
        let Some(&place) = places.get(&annotation.image_id) else {
            let Annotation { id, image_id, .. } = annotation;
            return Err(format!(
                "annotation {id} refers to image {image_id}, which does not exist"
            ));
        };
        let (image, of_image) = &mut images[place];
        let [x, y, width, height] = annotation.bbox;
        if width <= 0.0 || height <= 0.0 {
            empty += 1;
            continue;
        }
        let (wide, high) = (image.width as f64, image.height as f64);
        let described = || {
            let id = annotation.id;
            format!("annotation {id} [{x}, {y}, {width}, {height}] on {high} × {wide} pixels")
        };
        if x >= wide || y >= high || x + width <= 0.0 || y + height <= 0.0 {
            return Err(format!("the box of {} lies outside of its image", described()));
        }
        if [-x, -y, x + width - wide, y + height - high].iter().any(|&over| over > OVERHANG) {
            beyond += 1;
            first_beyond.get_or_insert_with(described);
        }
        of_image.push(annotation);
    }
    let mut notes = Vec::new();
    if empty > 0 {
        notes.push(format!("boxes without width or height, left out: {empty}"));
    }
    if let Some(first) = first_beyond {
        let found = format!("{beyond} of {boxes} boxes reach beyond their image, first {first}");
        if 2 * beyond > boxes {
            let wanted = "boxes must be [x, y, width, height], not [x1, y1, x2, y2]";
            return Err(format!("{found}; {wanted}"));
        }
        notes.push(found);
    }
    Ok((images, categories, notes))
}

fn check_image(image: &ImageEntry) -> Result<(), String> {
    let ImageEntry { id, height, width, file_name } = image;
    if !(1..=LONGEST).contains(height) || !(1..=LONGEST).contains(width) {
        return Err(format!(
            "image {id} claims {height} × {width} pixels; both must be in [1, {LONGEST}]"
        ));
    }
    let inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    if file_name.is_empty() || !Path::new(file_name).components().all(inside) {
        return Err(format!(
            "image {id} has the file name {file_name:?}, which is empty or outside its folder"
        ));
    }
    Ok(())
}

fn check_annotation(annotation: &Annotation, categories: &Categories) -> Result<(), String> {
    let Annotation { id, category_id, bbox, area, .. } = annotation;
    if categories.class(*category_id).is_none() {
        return Err(format!("annotation {id} has category {category_id}, which does not exist"));
    }
    let far = |side: &f64| !(-1e6..=1e6).contains(side);
    if bbox.iter().any(far) || bbox[2] < 0.0 || bbox[3] < 0.0 {
        return Err(format!(
            "annotation {id} has the box {bbox:?}; its numbers must be in [-1e6, 1e6], and width \
             and height at least 0"
        ));
    }
    if let Some(area) = area.filter(|area| !(0.0..=1e12).contains(area)) {
        return Err(format!("annotation {id} has the area {area}; it must be in [0, 1e12]"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;

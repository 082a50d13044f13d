//! Embeds pictures of a run's folder in a page.

use std::fs;
use std::path::{Component, Path};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{Markup, html};

use crate::ReportError;
use crate::html::figure;
use crate::section::PictureFile;

/// Reads a picture and puts it into a figure.
///
/// # Errors
/// [`ReportError::Unusable`] for a path that leaves the folder or is not a picture's,
/// [`ReportError::Read`] for a picture that is not there.
pub fn embed(folder: &Path, picture: &PictureFile) -> Result<Markup, ReportError> {
    let (file, path) = (Path::new(&picture.file), folder.join(&picture.file));
    let refuse = |message: &str| ReportError::Unusable {
        path: folder.join("sections.json"),
        message: format!("the picture {:?} {message}", picture.file),
    };
    // Pages are shared with others, so a page must not include files from elsewhere.
    if !file.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(refuse("must lie in the run's folder; give its path from there"));
    }
    let media_type = media_type(file).ok_or_else(|| refuse("must be a .png or .svg file"))?;
    let bytes = fs::read(&path).map_err(ReportError::read(&path))?;
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let source = format!("data:{media_type};base64,{}", STANDARD.encode(bytes));
    Ok(figure(&html! { img alt=(name) src=(source); }, &picture.caption))
}

/// The pictures of `pictures/` by name, with the captions of runs from before sections existed.
///
/// # Errors
/// [`ReportError::Read`] when the folder is there and cannot be read.
pub fn all(folder: &Path) -> Result<Vec<PictureFile>, ReportError> {
    let pictures = folder.join("pictures");
    if !pictures.exists() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(&pictures).map_err(ReportError::read(&pictures))? {
        let path = entry.map_err(ReportError::read(&pictures))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if media_type(&path).is_some() {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            let caption = caption(&stem).to_owned();
            found.push(PictureFile { file: format!("pictures/{name}"), caption });
        }
    }
    found.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(found)
}

fn caption(name: &str) -> &str {
    match name {
        "reconstructions" => {
            "Test images: original, what the encoder saw, reconstruction of the hidden \
             patches (visible ones pasted back; standardised predictions are brought back \
             with each patch's true mean and standard deviation)."
        }
        "mixtures" => {
            "Test images, each mixed with the next by the shares 0.3 and 0.7: what the encoder \
             saw, the mixture, the subordinate image and its reconstruction, the dominant image \
             and its (visible patches are the true image's)."
        }
        "attention" => {
            "Test images: where the last block's class token looks, mean of the heads, \
             spread to the full range in each image."
        }
        "neighbours" => {
            "Test images, each followed by those of the first 2,000 test images whose features \
             are the most alike (standardised, by cosine)."
        }
        "projection" => {
            "Features of the first 2,000 test images on their two principal components, by class."
        }
        other => other,
    }
}

fn media_type(path: &Path) -> Option<&'static str> {
    match path.extension()?.to_str()? {
        "png" => Some("image/png"),
        "svg" => Some("image/svg+xml"),
        _ => None,
    }
}

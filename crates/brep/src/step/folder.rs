//! Converts a folder of STEP files into a folder of prepared parts.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use bauta_files::write_whole;
use rayon::ThreadPoolBuilder;
use rayon::prelude::*;

use super::watch::Watch;
use super::{Labels, Outcome, read};
use crate::geometry::listing::files_below;
use crate::geometry::{CLASSES, EXTENSION, Sampling};
use crate::{BrepError, Feature};

/// How a folder is prepared.
#[derive(Clone, Debug)]
pub struct PrepareOptions {
    /// The folder of `.step`, `.stp` and `.brep` files, at any depth; links are followed.
    pub input: PathBuf,
    /// The folder to write.
    pub output: PathBuf,
    /// How targets are drawn.
    pub sampling: Sampling,
    /// Whether files with several bodies become one part each, instead of being left out.
    pub assemblies: bool,
    /// Time limit per file, in seconds.
    pub seconds: u64,
    /// Memory limit per file, in bytes.
    pub bytes: u64,
    /// Number of concurrent processes.
    pub jobs: usize,
}

/// The result of preparing a folder.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// Each file and what became of it, in the order of their paths.
    pub files: Vec<(PathBuf, Outcome)>,
    /// The files whose parts have no labels, if others have some; then `classes.txt` is not
    /// written, and no classes of faces are learned from the folder.
    pub unlabelled: Vec<PathBuf>,
}

impl PrepareOptions {
    /// The path of a file's part: the file's path within the folder, with the extension appended.
    fn target(&self, file: &Path) -> PathBuf {
        let within = file.strip_prefix(&self.input).unwrap_or(file);
        let mut name = within.as_os_str().to_owned();
        name.push(format!(".{EXTENSION}"));
        self.output.join(name)
    }

    /// Prepares one file, in this process.
    ///
    /// # Errors
    /// Any reason why the file cannot become a part.
    pub fn prepare_file(&self, file: &Path) -> Result<usize, BrepError> {
        let shape = read(file)?;
        let invalid = |reason: String| Err(BrepError::Invalid { reason });
        if shape.solids > 1 && !self.assemblies {
            return invalid(format!(
                "it is an assembly of {} bodies; give one file per body, or use --assemblies",
                shape.solids
            ));
        }
        let labels = match Labels::of(file, &shape.names)? {
            Labels::None => Vec::new(),
            Labels::Numbers(numbers) => numbers,
        };
        let part = shape.prepare(&self.sampling, labels)?;
        let target = self.target(file);
        let folder = target.parent().unwrap_or(&self.output);
        fs::create_dir_all(folder)
            .map_err(|source| BrepError::Write { path: folder.to_owned(), source })?;
        part.write(&target)?;
        Ok(part.faces.len())
    }
}

/// Prepares a folder, several files per process.
///
/// If a process ends, or is silent for too long, before it has reported all its files, the file
/// that it was working on fails. If that process ran out of memory and the file was not its first,
/// the file is tried again as the first of another process.
///
/// `command` creates the command of a process, which must call [`PrepareOptions::prepare_file`] on
/// each of the paths in its last arguments, in order, and print [`Outcome::line`] for each. `told`
/// is called with the outcome of each file.
///
/// # Errors
/// [`BrepError::StepFolder`] when there are no files to prepare, or `classes.txt` names too few
/// classes; [`BrepError::Read`] and [`BrepError::Write`] when a folder cannot be read or written.
pub fn prepare_folder(
    options: &PrepareOptions,
    command: impl Fn() -> Command + Sync,
    told: impl Fn(&Path, &Outcome) + Sync,
) -> Result<Prepared, BrepError> {
    let files = step_files(&options.input)?;
    let jobs = options.jobs.max(1);
    let pool = ThreadPoolBuilder::new().num_threads(jobs).build();
    let pool = pool.map_err(|_| BrepError::Setting {
        key: "jobs",
        value: options.jobs.to_string(),
        rule: "so many threads cannot be started; use fewer",
    })?;
    let told = |file: &PathBuf, outcome: &Outcome| {
        if let Outcome::Skipped(_) = outcome {
            // A part from an earlier run would be mistaken for its result.
            fs::remove_file(options.target(file)).ok();
        }
        told(file, outcome);
    };
    let watch = Watch { seconds: options.seconds, bytes: options.bytes };
    // Loading the kernel takes as long as reading a small file, so a process reads several.
    let together = (files.len() / (4 * jobs)).clamp(1, 16);
    let outcomes: Vec<Vec<Outcome>> = pool.install(|| {
        let some = |files: &[PathBuf]| watch.outcomes(files, &command, &told);
        files.par_chunks(together).map(some).collect()
    });
    let files = files.into_iter().zip(outcomes.into_iter().flatten()).collect();
    let mut prepared = Prepared { files, unlabelled: Vec::new() };
    prepared.unlabelled = prepared.write_classes(options)?;
    Ok(prepared)
}

impl Prepared {
    /// Number of prepared parts.
    pub fn parts(&self) -> usize {
        let made = |(_, outcome): &&(PathBuf, Outcome)| matches!(outcome, Outcome::Part(_));
        self.files.iter().filter(made).count()
    }

    /// Total number of their faces.
    pub fn faces(&self) -> usize {
        let faces = |(_, outcome): &(PathBuf, Outcome)| match outcome {
            Outcome::Part(faces) => *faces,
            Outcome::Skipped(_) => 0,
        };
        self.files.iter().map(faces).sum()
    }

    /// The reasons why files were left out, with their counts, the most frequent first.
    pub fn reasons(&self) -> Vec<(String, usize)> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, outcome) in &self.files {
            if let Outcome::Skipped(reason) = outcome {
                *counts.entry(reason).or_default() += 1;
            }
        }
        let mut reasons: Vec<_> =
            counts.into_iter().map(|(it, count)| (it.to_owned(), count)).collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        reasons
    }

    /// Writes the names of the classes, if all parts have labels: those of the user's own
    /// `classes.txt`, or the generator's names if there are enough, else numbers. Returns the files
    /// without labels if others have some.
    fn write_classes(&self, options: &PrepareOptions) -> Result<Vec<PathBuf>, BrepError> {
        let own = options.input.join(CLASSES);
        let (mut most, mut unlabelled) = (None, Vec::new());
        for (file, outcome) in &self.files {
            if let Outcome::Part(_) = outcome {
                let part = crate::Part::read(&options.target(file))?;
                match part.labels.iter().max() {
                    Some(label) => most = most.max(Some(*label)),
                    None => unlabelled.push(file.clone()),
                }
            }
        }
        let Some(most) = most else { return Ok(Vec::new()) };
        if !unlabelled.is_empty() {
            return Ok(unlabelled);
        }
        let names = match fs::read_to_string(&own) {
            Ok(text) => {
                let named = text.lines().filter(|line| !line.trim().is_empty()).count();
                if named <= most as usize {
                    let reason =
                        format!("a face has label {most}, and {CLASSES} names {named} classes");
                    return Err(BrepError::StepFolder { path: options.input.clone(), reason });
                }
                text
            }
            Err(source) if source.kind() != ErrorKind::NotFound => {
                return Err(BrepError::Read { path: own, source });
            }
            Err(_) if (most as usize) < Feature::names().len() => Feature::names().join("\n"),
            Err(_) => (0..=most).map(|number| format!("class {number}\n")).collect(),
        };
        let path = options.output.join(CLASSES);
        write_whole(&path, names.as_bytes()).map_err(|source| BrepError::Write { path, source })?;
        Ok(unlabelled)
    }
}

/// The files in a folder that the kernel can read, in the order of their paths.
fn step_files(folder: &Path) -> Result<Vec<PathBuf>, BrepError> {
    let files = files_below(folder, |path| {
        let extension = path.extension().map(|it| it.to_string_lossy().to_lowercase());
        extension.is_some_and(|it| ["step", "stp", "brep"].contains(&&*it))
    })?;
    if files.is_empty() {
        let reason = "it has no .step, .stp or .brep file".to_owned();
        return Err(BrepError::StepFolder { path: folder.to_owned(), reason });
    }
    Ok(files)
}

//! The default output folder of a dense task.

use std::path::{Component, Path, PathBuf};

use crate::EvalError;
use crate::begun::check_unused;

/// Parts of a model's path that do not distinguish models.
const SAID_OF_ALL: [&str; 3] = ["runs", "checkpoints", "last"];

/// The folder of a task on a model: `named` if given, otherwise one in `runs` named by the model's
/// path, where a run's last checkpoint counts as the run.
///
/// ```
/// use bauta_eval::dense::output_folder;
/// let of = |model: &str| output_folder(None, "detect", model.as_ref(), false).unwrap();
/// assert_eq!(of("runs/mae/checkpoints/last").to_str(), Some("runs/detect-mae"));
/// assert_eq!(of("runs/mae/checkpoints/step-40").to_str(), Some("runs/detect-mae-step-40"));
/// assert_eq!(of("../hub/vit/main").to_str(), Some("runs/detect-hub-vit-main"));
/// ```
///
/// # Errors
/// [`EvalError::Unsuitable`] when the folder already holds a result and `resume` is not set.
pub fn output_folder(
    named: Option<&Path>,
    task: &str,
    model: &Path,
    resume: bool,
) -> Result<PathBuf, EvalError> {
    let folder = named.map_or_else(|| usual_folder(task, model), Path::to_path_buf);
    if !resume {
        check_unused(&folder, &format!("{task}.json"))?;
    }
    Ok(folder)
}

fn usual_folder(task: &str, model: &Path) -> PathBuf {
    let parts = model.components().filter_map(|part| match part {
        Component::Normal(part) => Some(part.to_string_lossy()),
        _ => None,
    });
    let mut name = task.to_owned();
    for part in parts.filter(|part| !SAID_OF_ALL.contains(&part.as_ref())) {
        name = format!("{name}-{part}");
    }
    Path::new("runs").join(name)
}

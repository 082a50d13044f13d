//! The shim's functions, and a shape that the kernel holds.

use std::ffi::{CStr, CString, c_char, c_int};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::NonNull;
use std::slice;

use glam::{DVec2, DVec3};

use crate::BrepError;

/// Numbers per face and per edge.
pub(super) const FACE: usize = 18;
pub(super) const EDGE: usize = 15;

/// The shim's own type.
#[repr(C)]
struct Opaque {
    _private: [u8; 0],
}

unsafe extern "C" {
    fn bauta_occt_version() -> *const c_char;
    fn bauta_occt_limit(bytes: u64, seconds: u64) -> c_int;
    fn bauta_occt_read(
        path: *const c_char,
        brep: c_int,
        out: *mut *mut Opaque,
        error: *mut c_char,
        length: usize,
    ) -> c_int;
    fn bauta_occt_free(shape: *mut Opaque);
    fn bauta_occt_counts(shape: *const Opaque, counts: *mut usize);
    fn bauta_occt_faces(shape: *const Opaque) -> *const f64;
    fn bauta_occt_edges(shape: *const Opaque) -> *const f64;
    fn bauta_occt_vertices(shape: *const Opaque) -> *const f64;
    fn bauta_occt_bounds(shape: *const Opaque) -> *const f64;
    fn bauta_occt_vertex_edge(shape: *const Opaque) -> *const i32;
    fn bauta_occt_edge_loop(shape: *const Opaque) -> *const i32;
    fn bauta_occt_loop_outer(shape: *const Opaque) -> *const i32;
    fn bauta_occt_loop_face(shape: *const Opaque) -> *const i32;
    fn bauta_occt_name(shape: *const Opaque, face: usize) -> *const c_char;
    fn bauta_occt_sample(
        shape: *const Opaque,
        face: usize,
        units: *const f64,
        count: usize,
        points: *mut f64,
        inside: *mut u8,
        error: *mut c_char,
        length: usize,
    ) -> c_int;
}

/// The kernel's version.
pub fn version() -> String {
    // SAFETY: it returns a constant string.
    unsafe { CStr::from_ptr(bauta_occt_version()) }.to_string_lossy().into_owned()
}

/// Limits this process: its memory in bytes, and the processor time in seconds that it uses from
/// now on. Beyond the limits, the kernel fails or the process ends. Can be called again.
///
/// # Errors
/// When the system refuses.
pub fn limit(bytes: u64, seconds: u64) -> std::io::Result<()> {
    // SAFETY: plain values.
    match unsafe { bauta_occt_limit(bytes, seconds) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Numbers of a shape's elements.
pub(super) struct Counts {
    pub faces: usize,
    edges: usize,
    vertices: usize,
    loops: usize,
    vertex_edge: usize,
    edge_loop: usize,
    pub solids: usize,
}

/// A shape owned by the kernel.
pub(super) struct Shape(NonNull<Opaque>);

/// Size of a message buffer.
const MESSAGE: usize = 512;

fn message(text: &[c_char; MESSAGE]) -> BrepError {
    // SAFETY: the shim terminates the text within the array.
    let text = unsafe { CStr::from_ptr(text.as_ptr()) };
    BrepError::Invalid { reason: text.to_string_lossy().into_owned() }
}

impl Shape {
    pub fn read(path: &Path, brep: bool) -> Result<Self, BrepError> {
        let name = CString::new(path.as_os_str().as_bytes())
            .map_err(|error| BrepError::Read { path: path.to_owned(), source: error.into() })?;
        let (mut shape, mut text) = (std::ptr::null_mut(), [0; MESSAGE]);
        // SAFETY: the path is terminated, and the array has the given length.
        let failed = unsafe {
            bauta_occt_read(name.as_ptr(), brep.into(), &raw mut shape, text.as_mut_ptr(), MESSAGE)
        };
        match (failed, NonNull::new(shape)) {
            (0, Some(shape)) => Ok(Self(shape)),
            _ => Err(message(&text)),
        }
    }

    fn pointer(&self) -> *const Opaque {
        self.0.as_ptr()
    }

    pub fn counts(&self) -> Counts {
        let mut found = [0; 7];
        // SAFETY: the shim writes seven numbers.
        unsafe { bauta_occt_counts(self.pointer(), found.as_mut_ptr()) }
        let [faces, edges, vertices, loops, vertex_edge, edge_loop, solids] = found;
        Counts { faces, edges, vertices, loops, vertex_edge, edge_loop, solids }
    }

    pub fn faces(&self) -> Vec<[f64; FACE]> {
        // SAFETY: the shim's array has the number of rows that it counts.
        unsafe { rows(bauta_occt_faces(self.pointer()), self.counts().faces) }
    }

    pub fn edges(&self) -> Vec<[f64; EDGE]> {
        // SAFETY: as for the faces.
        unsafe { rows(bauta_occt_edges(self.pointer()), self.counts().edges) }
    }

    pub fn vertices(&self) -> Vec<[f64; 3]> {
        // SAFETY: as for the faces.
        unsafe { rows(bauta_occt_vertices(self.pointer()), self.counts().vertices) }
    }

    pub fn bounds(&self) -> [DVec3; 2] {
        // SAFETY: there are six numbers.
        let [low, high] = unsafe { rows::<f64, 3>(bauta_occt_bounds(self.pointer()), 2) }[..]
        else {
            unreachable!("two rows were asked for")
        };
        [low, high].map(DVec3::from_array)
    }

    pub fn vertex_edge(&self) -> Vec<[i32; 3]> {
        // SAFETY: as for the faces.
        unsafe { rows(bauta_occt_vertex_edge(self.pointer()), self.counts().vertex_edge) }
    }

    pub fn edge_loop(&self) -> Vec<[i32; 3]> {
        // SAFETY: as for the faces.
        unsafe { rows(bauta_occt_edge_loop(self.pointer()), self.counts().edge_loop) }
    }

    /// Whether each loop is an outer one, and its face.
    pub fn loops(&self) -> (Vec<i32>, Vec<i32>) {
        let count = self.counts().loops;
        let lists = [bauta_occt_loop_outer, bauta_occt_loop_face];
        // SAFETY: as for the faces.
        let [outer, face] =
            lists.map(|list| unsafe { rows::<i32, 1>(list(self.pointer()), count) });
        (outer.into_flattened(), face.into_flattened())
    }

    /// The name of an existing face.
    pub fn name(&self, face: usize) -> String {
        assert!(face < self.counts().faces, "face {face} does not exist");
        // SAFETY: the face exists, and its name is a terminated string.
        let name = unsafe { CStr::from_ptr(bauta_occt_name(self.pointer(), face)) };
        name.to_string_lossy().into_owned()
    }

    /// Points of a face at positions in its unit square, and whether each is inside the trim.
    pub fn sample(
        &self,
        face: usize,
        units: &[DVec2],
    ) -> Result<(Vec<DVec3>, Vec<bool>), BrepError> {
        assert!(face < self.counts().faces, "face {face} does not exist");
        let places: Vec<f64> = units.iter().flat_map(|unit| unit.to_array()).collect();
        let (mut points, mut inside) = (vec![[0.0; 3]; units.len()], vec![0_u8; units.len()]);
        let mut text = [0; MESSAGE];
        // SAFETY: the face exists, and the arrays are as long as the shim expects.
        let failed = unsafe {
            bauta_occt_sample(
                self.pointer(),
                face,
                places.as_ptr(),
                units.len(),
                points.as_mut_ptr().cast(),
                inside.as_mut_ptr(),
                text.as_mut_ptr(),
                MESSAGE,
            )
        };
        match failed {
            0 => {
                let points = points.into_iter().map(DVec3::from_array).collect();
                Ok((points, inside.into_iter().map(|inside| inside != 0).collect()))
            }
            _ => Err(message(&text)),
        }
    }
}

impl Drop for Shape {
    fn drop(&mut self) {
        // SAFETY: the pointer is the shim's, and nothing uses it any more.
        unsafe { bauta_occt_free(self.0.as_ptr()) }
    }
}

/// Copies an array of the shim.
///
/// # Safety
/// `first` must point to `count` rows of N numbers; it is not read if `count` is 0.
unsafe fn rows<T: Copy, const N: usize>(first: *const T, count: usize) -> Vec<[T; N]> {
    match count {
        0 => Vec::new(),
        // SAFETY: guaranteed by the caller.
        _ => unsafe { slice::from_raw_parts(first.cast::<[T; N]>(), count) }.to_vec(),
    }
}

//! Processes that train together: a shared key store, sums over all of them, and broadcasts.

use std::ffi::{CStr, CString, c_int, c_void};
use std::fmt;
use std::time::Duration;

use tch::Tensor;

use crate::{LibtorchError, ffi};

/// A key-value store on one process, which all processes reach over TCP (`c10d::TCPStore`).
pub struct Store(*mut c_void);

impl Store {
    /// Opens the store at `host:port`; exactly one process serves it. Keys with different prefixes
    /// are separate.
    ///
    /// # Errors
    /// [`LibtorchError::Call`] when the port is in use, or the store is not reached in time.
    ///
    /// # Panics
    /// When a text holds a zero byte, here and below.
    pub fn open(
        host: &str,
        port: u16,
        serves: bool,
        timeout: Duration,
        prefix: &str,
    ) -> Result<Self, LibtorchError> {
        let (host, prefix) = (text(host), text(prefix));
        let (serves, timeout) = (c_int::from(serves), millis(timeout));
        let mut store = std::ptr::null_mut();
        // SAFETY: the texts live through the call; on success the shim has written a pointer
        // that is closed once, on drop.
        ffi::check(unsafe {
            let (host, prefix) = (host.as_ptr(), prefix.as_ptr());
            ffi::bauta_store_open(host, port, serves, timeout, prefix, &raw mut store)
        })?;
        Ok(Self(store))
    }

    /// Sets a key.
    ///
    /// # Errors
    /// [`LibtorchError::Call`] when the store does not answer.
    pub fn set(&self, key: &str, value: &str) -> Result<(), LibtorchError> {
        let (key, value) = (text(key), text(value));
        // SAFETY: the store is open and the texts live through the call.
        ffi::check(unsafe { ffi::bauta_store_set(self.0, key.as_ptr(), value.as_ptr()) })
    }

    /// Waits until a process has set a key, and reads it.
    ///
    /// # Errors
    /// [`LibtorchError::Call`] when it is not set in time, or the store does not answer.
    pub fn get(&self, key: &str, timeout: Duration) -> Result<String, LibtorchError> {
        let (key, timeout) = (text(key), millis(timeout));
        let mut value = std::ptr::null_mut();
        // SAFETY: the store is open; on success the shim has written a NUL-terminated string,
        // which is freed once, here.
        unsafe {
            ffi::check(ffi::bauta_store_get(self.0, key.as_ptr(), timeout, &raw mut value))?;
            let read = CStr::from_ptr(value).to_string_lossy().into_owned();
            ffi::bauta_free(value);
            Ok(read)
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // SAFETY: it was opened, and is closed only here.
        unsafe { ffi::bauta_store_close(self.0) }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}

/// Connections between all processes, for tensors on the CPU (`c10d::ProcessGroupGloo`).
pub struct ProcessGroup(*mut c_void);

impl ProcessGroup {
    /// Connects this process, number `rank` of `size`, with the others; all must call it.
    ///
    /// # Errors
    /// [`LibtorchError::Call`] when a process does not connect in time.
    pub fn open(
        store: &Store,
        rank: usize,
        size: usize,
        timeout: Duration,
    ) -> Result<Self, LibtorchError> {
        let mut group = std::ptr::null_mut();
        let (rank, size, timeout) = (rank as c_int, size as c_int, millis(timeout));
        // SAFETY: the store is open, and the group keeps a reference to it; on success the shim has
        // written a pointer that is closed once, on drop.
        ffi::check(unsafe { ffi::bauta_group_open(store.0, rank, size, timeout, &raw mut group) })?;
        Ok(Self(group))
    }

    /// Sums each of some contiguous tensors on the CPU over all processes, in place. All must
    /// call it with equally many tensors of the same sizes; all get the same bits.
    ///
    /// # Errors
    /// [`LibtorchError::Call`] when a process is gone, or does not call it in time, and for a
    /// tensor that is not contiguous or not on the CPU.
    pub fn sum(&self, tensors: &[Tensor]) -> Result<(), LibtorchError> {
        let list = ffi::pointers(tensors);
        // SAFETY: the group is open and the list holds live tensors through the call, which
        // returns when they have been written.
        ffi::check(unsafe { ffi::bauta_group_sum(self.0, list.as_ptr(), list.len()) })
    }

    /// Begins to sum a contiguous tensor on the CPU over all processes. All must begin this and
    /// other exchanges in the same order.
    ///
    /// # Errors
    /// [`LibtorchError::Call`] when the connections are broken, and for a tensor that is not
    /// contiguous or not on the CPU.
    pub fn begin_sum(&self, tensor: Tensor) -> Result<Sum, LibtorchError> {
        let mut sum = std::ptr::null_mut();
        // SAFETY: the group is open and the tensor lives through the call; libtorch keeps
        // references to both until the sum is complete. On success the shim has written a pointer
        // that is closed once, on drop.
        ffi::check(unsafe { ffi::bauta_group_begin_sum(self.0, tensor.as_ptr(), &raw mut sum) })?;
        Ok(Sum { work: sum, tensor })
    }

    /// The pointer to the group, for calls that keep a reference to it.
    pub(crate) fn as_ptr(&self) -> *const c_void {
        self.0
    }

    /// Overwrites a contiguous tensor on the CPU with that of process `root`. All must call it with
    /// a tensor of the same size and kind.
    ///
    /// # Errors
    /// [`LibtorchError::Call`] when a process is gone, or does not call it in time, and for a
    /// tensor that is not contiguous or not on the CPU.
    pub fn broadcast(&self, tensor: &Tensor, root: usize) -> Result<(), LibtorchError> {
        // SAFETY: the group is open and the tensor lives through the call, which returns when it
        // has been written.
        ffi::check(unsafe { ffi::bauta_group_broadcast(self.0, tensor.as_ptr(), root as c_int) })
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        // SAFETY: it was opened, and is closed only here.
        unsafe { ffi::bauta_group_close(self.0) }
    }
}

impl fmt::Debug for ProcessGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProcessGroup")
    }
}

/// A sum over all processes in progress; if dropped, it continues unread.
pub struct Sum {
    work: *mut c_void,
    tensor: Tensor,
}

impl Sum {
    /// Waits for the sum.
    ///
    /// # Errors
    /// [`LibtorchError::Call`] when a process is gone, or does not begin its part in time.
    pub fn wait(self) -> Result<Tensor, LibtorchError> {
        // SAFETY: the sum was begun, and is closed only on drop.
        ffi::check(unsafe { ffi::bauta_sum_wait(self.work) })?;
        Ok(self.tensor.shallow_clone())
    }
}

impl Drop for Sum {
    fn drop(&mut self) {
        // SAFETY: it was begun, and is closed only here.
        unsafe { ffi::bauta_sum_close(self.work) }
    }
}

impl fmt::Debug for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sum")
    }
}

fn text(text: &str) -> CString {
    CString::new(text).expect("names and addresses hold no zero byte")
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::thread;

    use super::*;

    pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

    /// A port that is not in use.
    pub(crate) fn free_port() -> u16 {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    }

    fn open(port: u16, serves: bool) -> Result<Store, LibtorchError> {
        Store::open("127.0.0.1", port, serves, TIMEOUT, "test")
    }

    /// One of two connected processes, and a function that waits for the end of the other one.
    pub(crate) fn member(port: u16, rank: usize) -> (ProcessGroup, impl FnOnce()) {
        let store = open(port, rank == 0).unwrap();
        let group = ProcessGroup::open(&store, rank, 2, TIMEOUT).unwrap();
        // The server outlives its last client.
        let end = move || {
            store.set(&format!("done/{rank}"), "").unwrap();
            store.get(&format!("done/{}", 1 - rank), TIMEOUT).unwrap();
        };
        (group, end)
    }

    #[test]
    fn tensors_are_summed_and_handed_on_and_keys_are_shared() {
        let port = free_port();
        let member = move |rank: usize| {
            let store = open(port, rank == 0).unwrap();
            store.set(&format!("key/{rank}"), "its value").unwrap();
            let theirs = store.get(&format!("key/{}", 1 - rank), TIMEOUT).unwrap();
            assert_eq!(theirs, "its value");
            let group = ProcessGroup::open(&store, rank, 2, TIMEOUT).unwrap();
            let tensors = [1.0, 10.0].map(|x| Tensor::from_slice(&[x, x * (rank + 1) as f64]));
            let begun = group.begin_sum(Tensor::from_slice(&[rank as f32, 1.0])).unwrap();
            group.sum(&tensors).unwrap();
            assert_eq!(Vec::<f32>::try_from(begun.wait().unwrap()).unwrap(), [1.0, 2.0]);
            let own = Tensor::from_slice(&[rank as i64, 7]);
            group.broadcast(&own, 1).unwrap();
            assert_eq!(Vec::<i64>::try_from(own).unwrap(), [1, 7]);
            // The server outlives its last client.
            store.set(&format!("done/{rank}"), "").unwrap();
            store.get(&format!("done/{}", 1 - rank), TIMEOUT).unwrap();
            tensors.map(|sum| Vec::<f64>::try_from(sum).unwrap())
        };
        let members = [0, 1].map(|rank| thread::spawn(move || member(rank)));
        for member in members {
            assert_eq!(member.join().unwrap(), [[2.0, 3.0], [20.0, 30.0]]);
        }
    }

    #[test]
    fn a_tensor_with_gaps_is_refused_and_left_alone() {
        let store = open(free_port(), true).unwrap();
        let group = ProcessGroup::open(&store, 0, 1, TIMEOUT).unwrap();
        let whole = Tensor::from_slice(&[1.0_f32, 2.0, 3.0, 4.0]).view([2, 2]);
        let column = || whole.narrow(1, 0, 1);
        let refused = [
            group.sum(&[column()]),
            group.broadcast(&column(), 0),
            group.begin_sum(column()).map(drop),
        ];
        for refused in refused {
            let refused = refused.unwrap_err().to_string();
            assert!(refused.contains("shape [2, 1] with strides [2, 1]"), "{refused}");
        }
        group.sum(&[column().contiguous()]).unwrap();
    }

    #[test]
    fn a_port_in_use_and_a_key_that_nobody_sets_are_refused() {
        let port = free_port();
        let store = open(port, true).unwrap();
        assert!(open(port, true).unwrap_err().to_string().contains("EADDRINUSE"));
        let missing = store.get("nobody", Duration::from_millis(50)).unwrap_err();
        assert!(missing.to_string().contains("wait timeout"), "{missing}");
    }
}

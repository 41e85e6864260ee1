//! Whole tables at once: batches where the kernel has them for a map, single calls where not.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::thread;

use aya::Pod;
use aya::maps::{Array, HashMap, IterableMap, LpmTrie, MapData, MapError, PerCpuArray, lpm_trie};
use aya::util::nr_cpus;

use super::sys::{self, Cursor};

/// Entries a call. Large enough that the calls don't matter, small enough that the kernel's copies stay small.
const CHUNK: usize = 16_384;

/// What the maps that have a batch form have in common.
pub(super) trait Table<K: Pod, V: Pod>: IterableMap<K, V> {
    fn insert_one(&mut self, key: &K, value: &V) -> Result<(), MapError>;
    fn remove_one(&mut self, key: &K) -> Result<(), MapError>;
    fn keys_one_by_one(&self) -> Result<Vec<K>, MapError>;
}

impl<K: Pod, V: Pod> Table<K, V> for HashMap<MapData, K, V> {
    fn insert_one(&mut self, key: &K, value: &V) -> Result<(), MapError> {
        self.insert(key, value, 0)
    }

    fn remove_one(&mut self, key: &K) -> Result<(), MapError> {
        self.remove(key)
    }

    fn keys_one_by_one(&self) -> Result<Vec<K>, MapError> {
        self.keys().collect()
    }
}

impl<K: Pod, V: Pod> Table<lpm_trie::Key<K>, V> for LpmTrie<MapData, K, V> {
    fn insert_one(&mut self, key: &lpm_trie::Key<K>, value: &V) -> Result<(), MapError> {
        self.insert(key, value, 0)
    }

    fn remove_one(&mut self, key: &lpm_trie::Key<K>) -> Result<(), MapError> {
        self.remove(key)
    }

    fn keys_one_by_one(&self) -> Result<Vec<lpm_trie::Key<K>>, MapError> {
        self.keys().collect()
    }
}

impl<V: Pod> Table<u32, V> for Array<MapData, V> {
    fn insert_one(&mut self, key: &u32, value: &V) -> Result<(), MapError> {
        self.set(*key, value, 0)
    }

    fn remove_one(&mut self, _key: &u32) -> Result<(), MapError> {
        unreachable!("arrays have no entries to remove")
    }

    fn keys_one_by_one(&self) -> Result<Vec<u32>, MapError> {
        Ok((0..self.len()).collect())
    }
}

fn fd<K: Pod, V>(map: &impl IterableMap<K, V>) -> BorrowedFd<'_> {
    map.map().fd().as_fd()
}

fn failed(call: &'static str, io_error: io::Error) -> MapError {
    aya::sys::SyscallError { call, io_error }.into()
}

fn zeroes<T: Pod>(len: usize) -> Vec<T> {
    // SAFETY: `Pod` types are values whatever their bits.
    vec![unsafe { std::mem::zeroed() }; len]
}

/// Writes all entries.
pub(super) fn fill<K: Pod + Send + Sync, V: Pod + Send + Sync>(
    map: &mut impl Table<K, V>,
    entries: impl Iterator<Item = (K, V)>,
) -> Result<(), MapError> {
    let (keys, values): (Vec<K>, Vec<V>) = entries.unzip();
    if keys.is_empty() {
        return Ok(());
    }
    let fd = fd(map);
    // Entries cost the kernel cache misses each: two CPUs have them in half the time.
    let middle = if keys.len() > 2 * CHUNK { keys.len() / 2 } else { 0 };
    let ((first_keys, keys_left), (first_values, values_left)) =
        (keys.split_at(middle), values.split_at(middle));
    let done = thread::scope(|scope| {
        let other = (middle > 0).then(|| scope.spawn(|| fill_batches(fd, first_keys, first_values)));
        let done = fill_batches(fd, keys_left, values_left);
        match other.map(|other| other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))) {
            Some(Err(error)) => Err(error),
            Some(Ok(())) | None => done,
        }
    });
    match done {
        Ok(()) => Ok(()),
        Err(error) if sys::lacks_batches(&error) => {
            keys.iter().zip(&values).try_for_each(|(key, value)| map.insert_one(key, value))
        }
        Err(error) => Err(failed("BPF_MAP_UPDATE_BATCH", error)),
    }
}

fn fill_batches<K: Pod, V: Pod>(map: BorrowedFd<'_>, keys: &[K], values: &[V]) -> io::Result<()> {
    let mut chunks = keys.chunks(CHUNK).zip(values.chunks(CHUNK));
    chunks.try_for_each(|(keys, values)| sys::update_batch(map, keys, values))
}

/// Removes all keys; one that isn't there is none too many.
pub(super) fn clear<K: Pod, V: Pod>(map: &mut impl Table<K, V>, keys: &[K]) -> Result<(), MapError> {
    let mut rest = keys;
    while !rest.is_empty() {
        let (done, result) = sys::delete_batch(fd(map), &rest[..rest.len().min(CHUNK)]);
        match result {
            Ok(()) => rest = &rest[done..],
            Err(error) if error.kind() == io::ErrorKind::NotFound && done < rest.len() => {
                rest = &rest[done + 1..]
            }
            Err(error) if sys::lacks_batches(&error) => return clear_one_by_one(map, rest),
            Err(error) => return Err(failed("BPF_MAP_DELETE_BATCH", error)),
        }
    }
    Ok(())
}

fn clear_one_by_one<K: Pod, V: Pod>(map: &mut impl Table<K, V>, keys: &[K]) -> Result<(), MapError> {
    for key in keys {
        match map.remove_one(key) {
            Err(MapError::KeyNotFound) => {}
            Err(MapError::SyscallError(error)) if error.io_error.kind() == io::ErrorKind::NotFound => {}
            result => result?,
        }
    }
    Ok(())
}

/// Calls `each` with all entries. Entries that come or go meanwhile may be seen or not, others are seen at least once.
pub(super) fn dump<K: Pod, V: Pod, T: Table<K, V>>(
    map: &T,
    mut each: impl FnMut(K, V),
) -> Result<(), MapError> {
    let mut cursor = Cursor::default();
    let (mut keys, mut values) = (zeroes::<K>(CHUNK), zeroes::<V>(CHUNK));
    loop {
        match sys::lookup_batch(fd(map), &mut cursor, &mut keys, values.as_mut_ptr().cast()) {
            Ok((count, end)) => {
                keys[..count].iter().zip(&values).for_each(|(key, value)| each(*key, *value));
                if end {
                    return Ok(());
                }
            }
            Err(error) if sys::lacks_batches(&error) => break,
            Err(error) => return Err(failed("BPF_MAP_LOOKUP_BATCH", error)),
        }
    }
    for key in map.keys_one_by_one()? {
        match IterableMap::get(map, &key) {
            Ok(value) => each(key, value),
            Err(MapError::KeyNotFound) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The values of an array from `first` on.
pub(super) fn range<V: Pod>(map: &Array<MapData, V>, first: u32, len: usize) -> Result<Vec<V>, MapError> {
    let (mut keys, mut values) = (zeroes::<u32>(len), zeroes::<V>(len));
    let (mut cursor, mut done) = (Cursor::at(first), 0);
    while done < len {
        let at = values[done..].as_mut_ptr().cast();
        match sys::lookup_batch(fd(map), &mut cursor, &mut keys[done..], at) {
            Ok((count, end)) => {
                done += count;
                if end || count == 0 {
                    break;
                }
            }
            Err(error) if sys::lacks_batches(&error) => {
                return (first..).take(len).map(|index| map.get(&index, 0)).collect();
            }
            Err(error) => return Err(failed("BPF_MAP_LOOKUP_BATCH", error)),
        }
    }
    values.truncate(done);
    Ok(values)
}

/// One entry, if it is there.
pub(super) fn get<K: Pod, V: Pod>(map: &impl IterableMap<K, V>, key: &K) -> Result<Option<V>, MapError> {
    match IterableMap::get(map, key) {
        Ok(value) => Ok(Some(value)),
        Err(MapError::KeyNotFound) => Ok(None),
        Err(MapError::SyscallError(error)) if error.io_error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What the kernel says a map takes. Where that moves with the number of its entries (from 6.4 on, for maps that aren't
/// preallocated), entries that come and go show in it; elsewhere it never changes.
pub(super) fn footprint<K: Pod, V: Pod>(map: &impl IterableMap<K, V>) -> Option<u64> {
    let path = format!("/proc/thread-self/fdinfo/{}", fd(map).as_raw_fd());
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix("memlock:")?.trim().parse().ok())
}

/// Calls `each` with the values of all CPUs for the first `len` entries, in order.
pub(super) fn per_cpu<V: Pod>(
    map: &PerCpuArray<MapData, V>,
    len: u32,
    mut each: impl FnMut(&[V]),
) -> Result<(), MapError> {
    assert_eq!(size_of::<V>() % 8, 0, "the kernel rounds values of CPUs up to words");
    let cpus = nr_cpus().map_err(|(_, error)| failed("counting CPUs", error))?;
    let chunk = (len as usize).min(CHUNK / cpus + 1);
    let (mut keys, mut values) = (zeroes::<u32>(chunk), zeroes::<V>(chunk * cpus));
    let (mut cursor, mut seen) = (Cursor::default(), 0);
    while seen < len as usize {
        let count = chunk.min(len as usize - seen);
        match sys::lookup_batch(fd(map), &mut cursor, &mut keys[..count], values.as_mut_ptr().cast()) {
            Ok((0, _)) => break,
            Ok((count, _)) => {
                values.chunks(cpus).take(count).for_each(&mut each);
                seen += count;
            }
            Err(error) if sys::lacks_batches(&error) => {
                for index in seen as u32..len {
                    each(&map.get(&index, 0)?);
                }
                return Ok(());
            }
            Err(error) => return Err(failed("BPF_MAP_LOOKUP_BATCH", error)),
        }
    }
    Ok(())
}

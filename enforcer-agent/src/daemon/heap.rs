//! The heap, kept to what is in use. A set is read and compiled on threads that end, with several times the memory that is kept of it: what is freed
//! goes back to the system instead of waiting for the next set.
//!
//! This is about the C library's allocator; with another one (musl's), nothing is done.

/// One heap for all threads, and large blocks on pages of their own. To be called before other threads are made.
pub(super) fn settle() {
    #[cfg(target_env = "gnu")]
    {
        /// By default the bound rises with what is freed, up to 32 MiB, and what is below it leaves holes.
        const LARGE: libc::c_int = 128 << 10;
        // SAFETY: both only set a number in the allocator, which locks itself.
        unsafe {
            libc::mallopt(libc::M_ARENA_MAX, 1);
            libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
        }
    }
}

/// Gives back what nobody uses.
pub(super) fn tidy() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the allocator locks itself, and touches only what is free.
    unsafe {
        libc::malloc_trim(0);
    }
}

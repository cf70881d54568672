//! Counts the bytes that the process has allocated, while somebody measures memory.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicBool, AtomicIsize, Ordering::Relaxed},
};

static COUNTS: AtomicBool = AtomicBool::new(false);
static HELD: AtomicIsize = AtomicIsize::new(0);
static PEAK: AtomicIsize = AtomicIsize::new(0);

/// The system's allocator. It counts only during [`measured`], so that times are not affected.
pub struct Counting;

// SAFETY: Every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

fn count(change: isize) {
    if COUNTS.load(Relaxed) {
        PEAK.fetch_max(HELD.fetch_add(change, Relaxed) + change, Relaxed);
    }
}

/// The memory of one call, in bytes.
#[derive(Clone, Copy)]
pub struct Memory {
    /// The bytes that the call allocated and did not free.
    pub kept: isize,
    /// The largest number of bytes that the call had allocated at one time.
    pub peak: isize,
}

/// Runs a call and measures its memory. No other thread may be at work that belongs to another call.
pub fn measured<T>(act: impl FnOnce() -> T) -> (Memory, T) {
    HELD.store(0, Relaxed);
    PEAK.store(0, Relaxed);
    COUNTS.store(true, Relaxed);
    let value = act();
    COUNTS.store(false, Relaxed);
    (Memory { kept: HELD.load(Relaxed), peak: PEAK.load(Relaxed) }, value)
}

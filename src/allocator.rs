//! The allocator: mimalloc, asked in the way that it answers fastest.
//!
//! The usual adapter asks for an alignment each time. Then mimalloc goes a longer way, and takes a
//! larger block, wherever the size is no power of two and no free block is at hand. All blocks that
//! it gives are aligned to eight bytes anyway, which is enough for nearly everything.

#![allow(unsafe_code, reason = "an allocator's interface is unsafe")]

use libmimalloc_sys as mimalloc;
use std::alloc::{GlobalAlloc, Layout};

/// The alignment of every block.
const BLOCK_ALIGNMENT: usize = 8;

pub(crate) struct Allocator;

// SAFETY: each block comes from mimalloc, has the size and the alignment asked for, and goes back
// to mimalloc, which may be called from every thread.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let block = if layout.align() <= BLOCK_ALIGNMENT {
            unsafe { mimalloc::mi_malloc(layout.size()) }
        } else {
            unsafe { mimalloc::mi_malloc_aligned(layout.size(), layout.align()) }
        };
        block.cast()
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let block = if layout.align() <= BLOCK_ALIGNMENT {
            unsafe { mimalloc::mi_zalloc(layout.size()) }
        } else {
            unsafe { mimalloc::mi_zalloc_aligned(layout.size(), layout.align()) }
        };
        block.cast()
    }

    unsafe fn dealloc(&self, block: *mut u8, _layout: Layout) {
        unsafe { mimalloc::mi_free(block.cast()) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let block = block.cast();
        let moved = if layout.align() <= BLOCK_ALIGNMENT {
            unsafe { mimalloc::mi_realloc(block, size) }
        } else {
            unsafe { mimalloc::mi_realloc_aligned(block, size, layout.align()) }
        };
        moved.cast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_aligned_as_asked_and_keep_what_they_hold() {
        for size in (1..200).chain([1_000, 4_097, 70_000, 5 << 20]) {
            for align in [1, 2, 4, 8, 16, 64, 4_096] {
                let layout = Layout::from_size_align(size, align).unwrap();
                // SAFETY: the block is written within its size, and freed once, as it was asked
                // for.
                unsafe {
                    let block = Allocator.alloc_zeroed(layout);
                    assert!(block.addr().is_multiple_of(align), "{layout:?}");
                    assert_eq!(*block.add(size - 1), 0);
                    *block = 7;
                    let grown = Allocator.realloc(block, layout, size * 3);
                    assert!(grown.addr().is_multiple_of(align), "{layout:?}");
                    assert_eq!(*grown, 7);
                    let larger = Layout::from_size_align(size * 3, align).unwrap();
                    Allocator.dealloc(grown, larger);
                    let other = Allocator.alloc(layout);
                    assert!(other.addr().is_multiple_of(align), "{layout:?}");
                    Allocator.dealloc(other, layout);
                }
            }
        }
    }
}

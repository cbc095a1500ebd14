//! Gives back what only the start has used. A process maps the code it has run, with what lies around it; of the edge's 6 MB
//! two thirds are the reading of arguments, settings and tables, once. Nothing is lost: what is run again is mapped again.
//! Tests at the end of the file.

use std::ops::Range;

/// Addresses of the program's code in this process: what can be executed and is backed by the program's own file.
/// `text` is `/proc/self/maps`, see proc_pid_maps(5).
fn code(text: &str, program: &str) -> Vec<Range<usize>> {
    let lines = text.lines().filter_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let (addresses, rights) = (fields.next()?, fields.next()?);
        let path = fields.nth(3)?;
        let (start, end) = addresses.split_once('-')?;
        let start = usize::from_str_radix(start, 16).ok()?;
        let end = usize::from_str_radix(end, 16).ok()?;
        // Never what can be written: there, memory holds what the file does not.
        (rights == "r-xp" && path == program && start < end).then_some(start..end)
    });
    lines.collect()
}

/// Unmaps the program's code, all of it; the next instruction maps what it needs. Costs some hundred minor faults, once.
/// Best effort: where the kernel says no, everything stays as it was.
pub(crate) fn forget() {
    let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else { return };
    let Ok(program) = std::fs::read_link("/proc/self/exe") else { return };
    for range in code(&maps, &program.to_string_lossy()) {
        crate::syscall::unmap_code(range);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_the_program_itself_is_named() {
        let maps = "\
00400000-00500000 r--p 00000000 fe:00 12 /usr/bin/havred
00500000-00900000 r-xp 00100000 fe:00 12 /usr/bin/havred
00900000-00a00000 rw-p 00500000 fe:00 12 /usr/bin/havred
7f0000000000-7f0000100000 r-xp 00000000 fe:00 13 /usr/lib/x86_64-linux-gnu/libc.so.6
7f0000200000-7f0000300000 r-xp 00000000 00:00 0
7ffc00000000-7ffc00002000 r-xp 00000000 00:00 0 [vdso]
nonsense
";
        let found = code(maps, "/usr/bin/havred");
        assert_eq!(found, [Range { start: 0x50_0000, end: 0x90_0000 }]);
        assert!(code(maps, "/usr/bin/other").is_empty());
    }

    #[test]
    fn the_program_goes_on() {
        let sum =
            |most: u64| (0..most).map(|number| number.wrapping_mul(2_654_435_761)).fold(0, u64::wrapping_add);
        let before = sum(1_000);
        forget();
        assert_eq!(sum(1_000), before);
        let maps = std::fs::read_to_string("/proc/self/maps").expect("Linux has it");
        let program = std::fs::read_link("/proc/self/exe").expect("Linux has it");
        assert!(!code(&maps, &program.to_string_lossy()).is_empty(), "the test's own code is found");
    }
}

//! Cells that are too long, cut so that what explains them or tells them apart stays. PURE.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Stands where something was left out.
const LEFT_OUT: &str = "…";
/// Columns that a cause never needs beside its row: a root that is longer is cut.
const CAUSE_COLUMNS_MAX: usize = 60;
/// The last parts of a chain of causes explain it if they are this long. A shorter end is a path, a
/// number or a code, and takes the parts before it along.
const ROOT_COLUMNS_MIN: usize = 20;
/// The shortest run of letters and digits that is an id or a digest, and of which the beginning
/// tells enough.
const DIGEST_CHARS_MIN: usize = 25;
/// Characters of such a run that stay.
const DIGEST_SHOWN_CHARS: usize = 12;

/// What stays of a cell that is cut, and how many columns it keeps at least.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CellCut {
    /// All of it.
    Never,
    /// Its beginning: states and ports.
    KeepStart(usize),
    /// Its end: an image's name and tag.
    KeepEnd(usize),
    /// Its beginning and its end: names.
    KeepEnds(usize),
    /// Its first characters, which are an id too, and the mark behind a blank.
    KeepId(usize),
    /// What explains it: errors.
    KeepCause,
}

impl CellCut {
    /// The fewest columns that a cell is cut to. A cause needs as many as its root has.
    pub(crate) fn columns_min(self, text: &str) -> usize {
        let columns_min = match self {
            CellCut::Never => usize::MAX,
            CellCut::KeepStart(n)
            | CellCut::KeepEnd(n)
            | CellCut::KeepEnds(n)
            | CellCut::KeepId(n) => n,
            CellCut::KeepCause => {
                let (inner, quotes) = unquoted(text).map_or((text, 0), |inner| (inner, 2));
                let (shown, root) = (without_noise(inner), root_at(&without_noise(inner)));
                let root = shown.split(": ").skip(root).collect::<Vec<_>>().join(": ");
                (format!("{LEFT_OUT} {root}").width() + quotes).min(CAUSE_COLUMNS_MAX)
            }
        };
        columns_min.min(text.width())
    }

    /// The cell in at most so many columns.
    pub(crate) fn apply(self, text: &str, columns: usize) -> String {
        if text.width() <= columns {
            return text.to_owned();
        }
        match self {
            CellCut::Never => text.to_owned(),
            CellCut::KeepStart(_) => start(text, columns),
            CellCut::KeepEnd(_) => end(text, columns),
            CellCut::KeepEnds(_) => ends(text, columns),
            CellCut::KeepId(_) => id(text, columns),
            CellCut::KeepCause => match unquoted(text) {
                Some(inner) => format!("\"{}\"", cause(inner, columns.saturating_sub(2))),
                None => cause(text, columns),
            },
        }
    }
}

fn start(text: &str, columns: usize) -> String {
    format!("{}{LEFT_OUT}", first(text, columns.saturating_sub(LEFT_OUT.width())))
}

fn end(text: &str, columns: usize) -> String {
    format!("{LEFT_OUT}{}", last(text, columns.saturating_sub(LEFT_OUT.width())))
}

fn ends(text: &str, columns: usize) -> String {
    let kept = columns.saturating_sub(LEFT_OUT.width());
    let head = first(text, kept / 2);
    let tail = last(text, kept - head.width());
    format!("{head}{LEFT_OUT}{tail}")
}

fn id(text: &str, columns: usize) -> String {
    let (id, mark) = text.split_once(' ').map_or((text, ""), |(id, mark)| (id, mark));
    if mark.is_empty() {
        return first(id, columns).to_owned();
    }
    format!("{} {mark}", first(id, columns.saturating_sub(mark.width() + 1)))
}

/// A chain of causes `what: why: deeper why` in few columns. The deepest cause stays, then what
/// failed, then as many causes between them as there is room for. If the deepest one is too long by
/// itself, its beginning stays.
fn cause(text: &str, columns: usize) -> String {
    let text = without_noise(text);
    if text.width() <= columns {
        return text;
    }
    let parts: Vec<&str> = text.split(": ").collect();
    let from = |at: usize| parts[at..].join(": ");
    let root = root_at(&text);
    let with_head = |at: usize| format!("{}: {LEFT_OUT} {}", parts[0], from(at));
    let without_head = |at: usize| format!("{LEFT_OUT} {}", from(at));
    let shapes: [&dyn Fn(usize) -> String; 2] = [&with_head, &without_head];
    for shape in shapes {
        let fits = |at: &usize| shape(*at).width() <= columns;
        // The head with all that follows it would be the whole text.
        if let Some(at) = (1..=root).take_while(|at| fits(&(root + 1 - at))).last() {
            return shape(root + 1 - at);
        }
    }
    match root {
        0 => start(&text, columns),
        _ => start(&without_head(root), columns),
    }
}

/// Which part of a chain its root begins with.
fn root_at(text: &str) -> usize {
    let parts: Vec<&str> = text.split(": ").collect();
    let is_root = |at: &usize| parts[*at..].join(": ").width() >= ROOT_COLUMNS_MIN;
    (0..parts.len()).rev().find(is_root).unwrap_or(0)
}

fn unquoted(text: &str) -> Option<&str> {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"'))
}

/// Without what takes room and explains nothing: the middle of digests, a code that says "unknown",
/// and a first sentence of one word.
fn without_noise(text: &str) -> String {
    let text = text.strip_suffix(": unknown").unwrap_or(text);
    let text = match text.split_once(". ") {
        Some((word, rest)) if word.chars().all(char::is_alphabetic) && !rest.is_empty() => rest,
        Some(_) | None => text,
    };
    let mut shown = String::with_capacity(text.len());
    for run in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let word = run.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        if word.len() < DIGEST_CHARS_MIN || !word.bytes().any(|byte| byte.is_ascii_digit()) {
            shown.push_str(run);
        } else {
            shown.push_str(&word[..DIGEST_SHOWN_CHARS]);
            shown.push_str(LEFT_OUT);
            shown.push_str(&run[word.len()..]);
        }
    }
    shown
}

/// The longest beginning in so many columns.
fn first(text: &str, columns: usize) -> &str {
    let mut width = 0;
    let fits = |c: char| {
        width += c.width().unwrap_or(1);
        width <= columns
    };
    let bytes: usize = text.chars().map_while(kept(fits)).sum();
    &text[..bytes]
}

/// The longest end in so many columns.
fn last(text: &str, columns: usize) -> &str {
    let mut width = 0;
    let fits = |c: char| {
        width += c.width().unwrap_or(1);
        width <= columns
    };
    let bytes: usize = text.chars().rev().map_while(kept(fits)).sum();
    &text[text.len() - bytes..]
}

/// The bytes of a character that still fits.
fn kept(mut fits: impl FnMut(char) -> bool) -> impl FnMut(char) -> Option<usize> {
    move |c| fits(c).then(|| c.len_utf8())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(how: CellCut, text: &str, columns: usize, expected: &str) {
        let shown = how.apply(text, columns);
        assert_eq!(shown, expected);
        assert!(shown.width() <= columns, "{} columns: {shown}", shown.width());
    }

    #[test]
    fn a_cell_that_fits_is_not_changed() {
        for how in [CellCut::KeepStart(1), CellCut::KeepEnds(1), CellCut::KeepCause] {
            check(how, "a: unknown", 10, "a: unknown");
        }
    }

    #[test]
    fn each_kind_of_cell_keeps_what_tells_it_apart() {
        check(CellCut::KeepStart(8), "Failed 2 seconds ago", 12, "Failed 2 se…");
        check(CellCut::KeepEnd(8), "registry.example.com/team/app:1.2", 10, "…m/app:1.2");
        check(CellCut::KeepEnds(8), "web-frontend.12", 10, "web-…nd.12");
        check(CellCut::KeepId(12), "928ahtjrzudyhvpujdvvicfyl", 12, "928ahtjrzudy");
        check(CellCut::KeepId(14), "928ahtjrzudyhvpujdvvicfyl *", 14, "928ahtjrzudy *");
        check(CellCut::KeepStart(4), "日本語の名前", 6, "日本…");
        check(CellCut::KeepEnds(4), "日本語の名前", 6, "日…前");
        assert_eq!(CellCut::Never.apply("replicated", 3), "replicated");
    }

    #[test]
    fn an_error_keeps_its_root_and_then_what_failed() {
        let no_program = "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: \"nosuchprogram\": executable file not found in $PATH: unknown";
        check(
            CellCut::KeepCause,
            no_program,
            60,
            "… exec: \"nosuchprogram\": executable file not found in $PATH",
        );
        check(
            CellCut::KeepCause,
            no_program,
            70,
            "failed to create shim task: … executable file not found in $PATH",
        );
        check(CellCut::KeepCause, no_program, 30, "… executable file not found i…");
        let no_image = "cannot pull nosuch/image:1: Get \"https://registry-1.docker.io/v2/\": dial tcp: lookup registry-1.docker.io on 10.0.0.53:53: dial udp 10.0.0.53:53: connect: network is unreachable";
        check(
            CellCut::KeepCause,
            no_image,
            60,
            "cannot pull nosuch/image:1: … network is unreachable",
        );
        let taken = "driver failed programming external connectivity on endpoint web.1 (64c5f9a0c1f2d3e4b5a697887960515243342516070809a0b1c2d3e4f5061728): Bind for 0.0.0.0:8080 failed: port is already allocated";
        check(
            CellCut::KeepCause,
            taken,
            60,
            "… Bind for 0.0.0.0:8080 failed: port is already allocated",
        );
    }

    #[test]
    fn a_root_that_is_a_path_or_a_code_keeps_the_cause_before_it() {
        check(
            CellCut::KeepCause,
            "invalid mount config for type \"bind\": bind source path does not exist: /nowhere",
            60,
            "… bind source path does not exist: /nowhere",
        );
        check(
            CellCut::KeepCause,
            "task web.1 of the new version of the service ended: exit code 3",
            40,
            "task web.1 of the new version of the se…",
        );
    }

    #[test]
    fn one_sentence_keeps_its_beginning_without_the_middle_of_ids() {
        let in_use = "Conflict. The container name \"/web.1.0h2kj3h4k5j6h7g8f9d0s1a2q\" is already in use by container \"64c5f9a0c1f2d3e4b5a697887960515243342516070809a0b1c2d3e4f5061728\". You have to remove (or rename) that container to be able to reuse that name.";
        check(
            CellCut::KeepCause,
            in_use,
            60,
            "The container name \"/web.1.0h2kj3h4k5j6…\" is already in use…",
        );
        check(
            CellCut::KeepCause,
            "\"no suitable node: not enough free cpu, memory or other resources on 1 node\"",
            62,
            "\"… not enough free cpu, memory or other resources on 1 node\"",
        );
        check(
            CellCut::KeepCause,
            "no suitable node: not enough free cpu, memory or other resources on 1 node",
            40,
            "… not enough free cpu, memory or other …",
        );
        let digest =
            "sha256:64c5f9a0c1f2d3e4b5a697887960515243342516070809a0b1c2d3e4f5061728 is gone";
        check(CellCut::KeepCause, digest, 40, "sha256:64c5f9a0c1f2… is gone");
    }

    #[test]
    fn no_width_is_too_small_for_an_error() {
        for columns in 1..40 {
            for text in ["a: b: c d e f g h i j k l m n o p q", "\"ab: cdefghijklmnop qrst uvw\""] {
                let shown = CellCut::KeepCause.apply(text, columns);
                assert!(shown.width() <= columns.max(3), "{columns}: {shown}");
            }
        }
    }
}

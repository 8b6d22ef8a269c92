//! Whose a program runs as.

use super::*;

#[test]
fn a_user_is_a_name_and_perhaps_a_group() {
    for bad in ["a b", "a:b:c", "a:", "a\n"] {
        let message = format!("{bad:?} is not a user");
        invalid(|spec| container(spec).user = bad.into(), &message, "write USER or USER:GROUP");
    }
    let digits = "9".repeat(50);
    let too_large = [
        ("99999999999", "99999999999 is too large for the id of a user".to_owned()),
        ("4294967295:0", "4294967295 is too large for the id of a user".to_owned()),
        ("app:4294967295", "4294967295 is too large for the id of a group".to_owned()),
        (&digits, format!("{}… is too large for the id of a user", "9".repeat(40))),
    ];
    for (bad, message) in too_large {
        let hint = "the largest is 4294967294";
        invalid(|spec| container(spec).user = bad.into(), &message, hint);
    }
    for good in ["app", "0:0", ":1000", "app:daemon", "4294967294:4294967294", "9a"] {
        allowed(|spec| container(spec).user = good.into());
    }
}

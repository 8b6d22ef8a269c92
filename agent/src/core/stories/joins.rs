//! How an agent gets its certificate, and whom it believes.

use super::check;

#[test]
fn an_agent_without_a_certificate_asks_for_one_and_dials_again_at_once() {
    check(
        "uncertified -> -
         join -> dial
         connected -> ask to join
         turned RETRY -> hang-up
         later 100 -> dial
         connected -> ask to join
         certified -> certified, dial
         connected -> hello 0.0
         certified -> -
         welcome -> joined, list",
    );
    check(
        "uncertified -> -
         attach -> dial, ask to join
         later 10000 -> hang-up
         later 200 -> dial
         connected -> ask to join
         break -> -
         certified -> -",
    );
}

#[test]
fn who_may_not_join_ends_and_says_why() {
    for (answer, halt) in [
        ("turned WRONG_TOKEN", "WrongToken"),
        ("turned WRONG_KEY", "WrongKey"),
        ("untrusted another root", "Untrusted"),
    ] {
        check(&format!(
            "uncertified token -> -
             join -> dial
             connected -> ask to join with token
             {answer} -> hang-up, halt {halt}"
        ));
    }
    check(
        "attach -> dial, hello 0.0, joined, list
         break -> -
         uncertified -> list
         join -> dial
         connected -> ask to join
         certified as-another -> hang-up, halt Elsewhere",
    );
}

/// Its key is not the recorded one where history went back behind the record of it.
#[test]
fn a_managers_own_agent_asks_once_more_before_it_ends_for_its_key() {
    check(
        "attach -> dial, hello 0.0, joined, list
         own -> -
         break -> -
         later 8000 -> dial
         connected -> hello 0.0
         turned WRONG_KEY -> hang-up
         later 8000 -> dial
         connected -> ask to join
         certified -> certified, dial
         connected -> hello 0.0
         welcome -> -
         break -> -
         later 8000 -> dial
         connected -> hello 0.0
         turned WRONG_KEY -> hang-up, halt WrongKey",
    );
}

#[test]
fn a_managers_own_agent_joins_again_where_its_history_does_not_know_it() {
    check(
        "attach -> dial, hello 0.0, joined, list
         own -> -
         break -> -
         later 8000 -> dial
         connected -> hello 0.0
         turned OTHER_HISTORY -> hang-up
         later 8000 -> dial
         connected -> ask to join
         certified -> certified, dial
         connected -> hello 0.0
         turned OTHER_HISTORY -> hang-up
         later 8000 -> dial
         connected -> hello 0.0",
    );
}

#[test]
fn a_member_tries_again_where_somebody_answers_whom_it_does_not_believe() {
    check(
        "attach -> dial, hello 0.0, joined, list
         break -> -
         later 8000 -> dial
         untrusted another cluster -> -
         later 8000 -> dial
         connected -> hello 0.0
         welcome -> -",
    );
}

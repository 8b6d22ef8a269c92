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
    for good in ["app", "0:0", ":1000", "app:daemon", "2147483647:2147483647", "9a"] {
        allowed(|spec| container(spec).user = good.into());
    }
}

#[test]
fn an_id_that_docker_refuses_is_admitted_where_processes_can_have_it() {
    const PROCESSES: &str = "node n2 runtime=process";
    const MIXED: &str = "node n1 runtime=docker | node n2 runtime=process";
    for (user, id) in [("2147483648", 2_147_483_648_u64), ("app:4294967294", 4_294_967_294)] {
        let asks = |spec: &mut ServiceSpec| container(spec).user = user.into();
        let refused_id = format!("Docker refuses the id {id}: the largest it takes is 2147483647");
        let message = format!("{refused_id}, and every node uses Docker");
        let hint = "choose a smaller id, or add a node of processes";
        refused(asks, RefusalCode::Precondition, &message, hint);
        for story in [PROCESSES, MIXED, ""] {
            assert_eq!(asked(story, asks), Ok(()), "{story}");
        }
        let warned = |story: &str| {
            let mut spec = service_spec("web");
            asks(&mut spec);
            warnings(&World::of(story).view, &spec)
        };
        let warning = format!("{refused_id}: tasks on nodes that use Docker will fail");
        assert_eq!(warned(MIXED), [warning]);
        assert_eq!((warned(PROCESSES), warned("")), (Vec::new(), Vec::new()));
    }
    assert_eq!(warnings(&World::of(MIXED).view, &service_spec("web")), Vec::<String>::new());
}

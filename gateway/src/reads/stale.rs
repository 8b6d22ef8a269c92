//! Telling the caller that an answer may lack the newest records.
//!
//! It stands in the metadata, so that it is the same for every kind of answer.

use prost::Message;
use skep_proto::v1::StaleRead;
use tonic::{Response, metadata::MetadataValue};

/// Stands in the metadata of each answer that the log did not confirm: an encoded [`StaleRead`].
pub(crate) const STALE_HEADER: &str = "skep-stale-bin";
/// Longest reason that is told with a stale answer, bytes; the rest is cut. It travels in a header.
const STALE_REASON_BYTES_MAX: usize = 1024;

/// The answer with its metadata.
pub(crate) fn response<T>(answer: T, stale: Option<StaleRead>) -> Response<T> {
    let mut response = Response::new(answer);
    if let Some(mut stale) = stale {
        let cut = stale.why.floor_char_boundary(STALE_REASON_BYTES_MAX);
        stale.why.truncate(cut);
        let value = MetadataValue::from_bytes(&stale.encode_to_vec());
        response.metadata_mut().insert_bin(STALE_HEADER, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_between_two_characters() {
        let stale = StaleRead { revision: 7, why: "é".repeat(600), for_ns: 1 };
        let response = response((), Some(stale));
        let value = response.metadata().get_bin(STALE_HEADER).unwrap().to_bytes().unwrap();
        let told = StaleRead::decode(value).unwrap();
        assert_eq!((told.revision, told.why.len()), (7, 1024));
    }
}

//! How gRPC messages are read: from one piece of memory.
//!
//! A message lies in one piece already when it is decoded. Read as such, rather than through the
//! interface for several pieces, a list of commands takes a quarter less time.

use prost::{Message, bytes::Buf};
use std::marker::PhantomData;
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder},
};
use tonic_prost::ProstEncoder;

/// Writes messages of one type and reads those of another.
#[derive(Clone, Debug)]
pub struct OnePieceCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for OnePieceCodec<T, U> {
    fn default() -> OnePieceCodec<T, U> {
        OnePieceCodec(PhantomData)
    }
}

impl<T, U> Codec for OnePieceCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = OnePieceDecoder<U>;

    fn encoder(&mut self) -> ProstEncoder<T> {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> OnePieceDecoder<U> {
        OnePieceDecoder::default()
    }
}

/// Reads messages of one type.
#[derive(Clone, Debug)]
pub struct OnePieceDecoder<U>(PhantomData<U>);

impl<U> Default for OnePieceDecoder<U> {
    fn default() -> OnePieceDecoder<U> {
        OnePieceDecoder(PhantomData)
    }
}

impl<U: Message + Default> Decoder for OnePieceDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        let piece = from.chunk();
        let message = if piece.len() == from.remaining() {
            let message = U::decode(piece);
            from.advance(from.remaining());
            message
        } else {
            U::decode(from)
        };
        // As the usual codec says it.
        message.map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}

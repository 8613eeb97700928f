//! Z85, the Base85 variant of ZeroMQ RFC 32: four bytes become five printable characters that JSON need not escape.

/// The digits, in order of value.
const DIGITS: &[u8; 85] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

/// Marks a byte that is no digit in [`VALUES`].
const NO_DIGIT: u8 = u8::MAX;

/// The value of each byte as a digit.
const VALUES: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut digit = 0;
    while digit < DIGITS.len() {
        values[DIGITS[digit] as usize] = digit as u8;
        digit += 1;
    }
    values
};

/// The characters that stand for the bytes, padded with zero bytes to a multiple of four.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(4) * 5);
    for chunk in bytes.chunks(4) {
        let mut block = [0u8; 4];
        block[..chunk.len()].copy_from_slice(chunk);
        let value = u32::from_be_bytes(block);
        for power in [85 * 85 * 85 * 85, 85 * 85 * 85, 85 * 85, 85, 1] {
            out.push(DIGITS[(value / power % 85) as usize] as char);
        }
    }
    out
}

/// The bytes that the characters stand for, padding included; on failure what is wrong with them.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>, String> {
    let text = text.as_bytes();
    if !text.len().is_multiple_of(5) {
        return Err(format!("base85 text of {} characters, expected a multiple of 5", text.len()));
    }
    let mut out = Vec::with_capacity(text.len() / 5 * 4);
    for (index, block) in text.chunks_exact(5).enumerate() {
        let mut value = 0u64;
        for byte in block {
            let digit = VALUES[*byte as usize];
            if digit == NO_DIGIT {
                return Err(format!("byte 0x{byte:02x} after character {} is not a base85 digit", index * 5));
            }
            value = value * 85 + u64::from(digit);
        }
        // Five digits reach beyond 2^32; a block that does was not made by an encoder.
        let value =
            u32::try_from(value).map_err(|_| format!("base85 block at character {} is too large", index * 5))?;
        out.extend_from_slice(&value.to_be_bytes());
    }
    Ok(out)
}

//! A pickle written opcode by opcode, for what torch would never write.

/// A pickle under construction.
#[derive(Clone, Default)]
pub struct Pickle(pub Vec<u8>);

impl Pickle {
    /// A pickle of protocol 2.
    pub fn new() -> Self {
        Self(vec![0x80, 2])
    }

    /// Appends raw opcodes.
    pub fn op(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Text.
    pub fn text(self, text: &str) -> Self {
        self.op(b"X").op(&(text.len() as u32).to_le_bytes()).op(text.as_bytes())
    }

    /// A whole number.
    pub fn int(self, number: i64) -> Self {
        self.op(&[0x8a, 8]).op(&number.to_le_bytes())
    }

    /// A global.
    pub fn global(self, module: &str, name: &str) -> Self {
        self.op(b"c").op(module.as_bytes()).op(b"\n").op(name.as_bytes()).op(b"\n")
    }

    /// A tuple of whole numbers.
    pub fn ints(self, numbers: &[i64]) -> Self {
        numbers.iter().fold(self.op(b"("), |pickle, number| pickle.int(*number)).op(b"t")
    }

    /// A storage by its persistent id.
    pub fn storage(self, class: &str, key: &str, numel: i64) -> Self {
        self.op(b"(").text("storage").global("torch", class).text(key).text("cpu").int(numel).op(b"tQ")
    }

    /// A float32 tensor of a storage `numel` long.
    pub fn tensor(self, key: &str, numel: i64, offset: i64, shape: &[i64], strides: &[i64]) -> Self {
        self.global("torch._utils", "_rebuild_tensor_v2")
            .op(b"(")
            .storage("FloatStorage", key, numel)
            .int(offset)
            .ints(shape)
            .ints(strides)
            .op(b"\x89N")
            .op(b"tR")
    }

    /// The end.
    pub fn stop(self) -> Vec<u8> {
        self.op(b".").0
    }
}

/// A pickle of a dict with one tensor `w` of four floats in storage `0`.
pub fn one_tensor() -> Vec<u8> {
    Pickle::new().op(b"}").text("w").tensor("0", 4, 0, &[4], &[1]).op(b"s.").0
}

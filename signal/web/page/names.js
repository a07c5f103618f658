// validName tells whether a text can name a person or a room: bounded, and plain ASCII, so
// that it cannot disguise itself as another.
export const validName = (name) => /^[A-Za-z0-9._@+-]{1,64}$/.test(name);

/** Characters that are turned into bytes at once: enough to make up for the call, and few enough for the cache. */
const PIECE = 8_192;

/**
 * A long text that is put together as the bytes that are sent. Were it joined as text first, a large body would be
 * copied once more.
 */
export class Utf8Text {
  #bytes: Buffer;
  #length = 0;
  #pending = '';

  /** `expected` is the length in bytes that will probably do; more is made room for. */
  constructor(expected: number) {
    this.#bytes = Buffer.allocUnsafe(Math.ceil(expected) + 3 * PIECE);
  }

  add(text: string): void {
    this.#pending += text;
    if (this.#pending.length >= PIECE) this.#write();
  }

  /** What was added so far; a view of the same memory. */
  get bytes(): Buffer {
    this.#write();
    return this.#bytes.subarray(0, this.#length);
  }

  #write(): void {
    // No UTF-16 unit takes more than three bytes.
    const needed = this.#length + 3 * this.#pending.length;
    if (needed > this.#bytes.length) this.#grow(needed);
    this.#length += this.#bytes.write(this.#pending, this.#length);
    this.#pending = '';
  }

  #grow(needed: number): void {
    const larger = Buffer.allocUnsafe(Math.max(needed, 2 * this.#bytes.length));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }
}

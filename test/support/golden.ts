/** Golden vectors: test/golden/*.json, made by hand or by other programs, never by the code under test alone. */
import { readFileSync } from 'node:fs';

/** The vectors of one file. The caller says what they look like. */
export function golden(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`../golden/${name}.json`, import.meta.url), 'utf8'));
}

/** The bytes that hexadecimal digits stand for. Spaces are left out; `xx*n` is `xx` n times. */
export function fromHex(text: string): Uint8Array {
  const parts = text.split(' ').map((part) => {
    const [digits, times = '1'] = part.split('*') as [string, string?];
    return digits.repeat(Number(times));
  });
  return new Uint8Array(Buffer.from(parts.join(''), 'hex'));
}

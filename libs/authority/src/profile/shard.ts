/**
 * The CRL shard of a certificate: its serial number's last four octets, modulo the number of shards. They are the low
 * end of a random number, so shards fill alike; the first octet has bits that are fixed.
 * @param serial big-endian
 * @param shards 1 or more
 * @returns 0 to `shards` - 1
 */
export function crlShard(serial: Uint8Array, shards: number): number {
  if (shards === 1) return 0;
  let value = 0;
  for (const octet of serial.subarray(Math.max(0, serial.length - 4))) value = value * 256 + octet;
  return value % shards;
}

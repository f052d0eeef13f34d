import { describe, expect, it, test } from 'vitest';
import { Secret } from '@fleetroot/core';
import { decodeManifest, encodeManifest } from '../src/copies/manifest.ts';
import { signedHeaders } from '../src/copies/sigv4.ts';
import { copyRule, type CopySettings } from '../src/tasks/copies.ts';

// The examples of AWS: "Authenticating Requests: Using the Authorization Header (AWS Signature Version 4)", Amazon S3 API reference.
describe('AWS Signature Version 4', () => {
  const credentials = { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: new Secret('wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'), region: 'us-east-1' };
  const empty = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
  test.each([
    ['GET Object', 'GET', '/test.txt', { range: 'bytes=0-9' }, empty, 'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41'],
    ['PUT Object', 'PUT', '/test$file.text', { date: 'Fri, 24 May 2013 00:00:00 GMT', 'x-amz-storage-class': 'REDUCED_REDUNDANCY' },
      '44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072', '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd'],
    ['GET Bucket Lifecycle', 'GET', '/?lifecycle', {}, empty, 'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543'],
    ['GET Bucket (List Objects)', 'GET', '/?max-keys=2&prefix=J', {}, empty, '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7'],
  ])('signs %s as AWS does', (_name, method, path, headers, payloadSha256, signature) => {
    const signed = signedHeaders({ method, url: new URL(`https://examplebucket.s3.amazonaws.com${path}`), headers: headers as Record<string, string>, payloadSha256 }, credentials, new Date('2013-05-24T00:00:00Z'));
    expect(signed['authorization']).toContain(`Signature=${signature}`);
  });
});

describe('where copies go', () => {
  const none: CopySettings = {
    copyDir: undefined, copyS3Endpoint: undefined, copyS3Bucket: undefined, copyS3Region: 'us-east-1', copyS3Prefix: undefined, copyS3AccessKeyId: undefined, copyS3SecretAccessKey: undefined,
  };
  const s3 = { ...none, copyS3Endpoint: 'https://s3.example.com', copyS3Bucket: 'status', copyS3AccessKeyId: new Secret('id'), copyS3SecretAccessKey: new Secret('secret') };
  it('is nowhere, a folder, a bucket, or both', () => {
    expect(copyRule(none)).toEqual({});
    expect(copyRule({ ...none, copyDir: '/srv/copies' })).toEqual({ directory: '/srv/copies' });
    expect(copyRule({ ...s3, copyDir: '/srv/copies', copyS3Prefix: 'pki/v1/' })).toMatchObject({ directory: '/srv/copies', s3: { bucket: 'status', prefix: 'pki/v1/', accessKeyId: 'id' } });
  });
  test.each<[string, Partial<CopySettings>]>([
    ['no secret', { copyS3SecretAccessKey: undefined }], ['no bucket', { copyS3Bucket: undefined }], ['another scheme', { copyS3Endpoint: 'ftp://s3.example.com' }],
    ['no URL', { copyS3Endpoint: 's3' }], ['a bucket with a slash', { copyS3Bucket: 'a/b/c' }], ['a prefix without its slash', { copyS3Prefix: 'pki' }], ['a prefix that climbs', { copyS3Prefix: '/../' }],
  ])('is refused with %s', (_name, change) => expect(() => copyRule({ ...s3, ...change })).toThrow(expect.objectContaining({ code: 'config.invalid' })));
});

describe('a manifest', () => {
  const entries = [{ path: 'b', sha256: '22', octets: 2, contentType: 'b' }, { path: 'a', sha256: '11', octets: 1, contentType: 'a', number: '7' }];
  it('lists by path, and is read again', () => {
    const octets = encodeManifest(entries, new Date(0), true);
    expect(JSON.parse(Buffer.from(octets).toString())).toEqual({ format: 1, checkedAt: '1970-01-01T00:00:00.000Z', complete: true, objects: [entries[1], entries[0]] });
    expect([...decodeManifest(octets).values()]).toEqual([entries[1], entries[0]]);
  });
  test.each([undefined, Buffer.from('{'), Buffer.from('{"format":2,"objects":[]}'), Buffer.from('[]'), Buffer.from('{"format":1,"objects":[{"path":1}]}')])('that is none (%s) is as none', (octets) => expect(decodeManifest(octets).size).toBe(0));
});

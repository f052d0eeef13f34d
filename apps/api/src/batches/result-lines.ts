import type { ItemResult } from '@fleetroot/authority';
import { toBase64 } from '@fleetroot/core';
import { encodePem } from '@fleetroot/x509';
import { serialOf } from '../certificates/serial-of.ts';

export type CertificateForm = 'der' | 'pem';

/** Results as lines of JSON, put together by hand since there is one for each certificate of a batch. */
export async function* resultLines(results: AsyncIterable<ItemResult>, form: CertificateForm): AsyncGenerator<string> {
  for await (const result of results) yield resultLine(result, form);
}

function resultLine(result: ItemResult, form: CertificateForm): string {
  if (result.outcome === 'failed') {
    return `{"ordinal":${result.ordinal},"outcome":"failed","code":"${result.code}","detail":${JSON.stringify(result.detail)}}\n`;
  }
  const { ordinal, ecuSerial, certificate } = result;
  const ecu = ecuSerial === undefined ? '' : `"ecuSerial":${JSON.stringify(ecuSerial)},`;
  const text = form === 'pem' ? JSON.stringify(encodePem('CERTIFICATE', certificate)) : `"${toBase64(certificate)}"`;
  return `{"ordinal":${ordinal},${ecu}"outcome":"issued","serial":"${serialOf(certificate)}","certificate":${text}}\n`;
}

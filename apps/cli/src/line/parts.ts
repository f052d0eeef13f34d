/** What a typical car has on its buses: name, and the part number as it stands on the label. */
export interface Part {
  readonly name: string;
  readonly partNumber: string;
}

const part = (name: string, partNumber: string): Part => ({ name, partNumber });

/** Fifty ECUs, in the order in which a line fits them. */
export const parts: readonly Part[] = [
  part('BCM', 'FR-907-063-A'), part('ECM', 'FR-906-012-C'), part('TCM', 'FR-927-158-B'), part('GWM', 'FR-907-530-D'),
  part('ABS', 'FR-614-517-A'), part('ESC', 'FR-614-518-A'), part('EPS', 'FR-423-051-F'), part('EPB', 'FR-907-801-A'),
  part('SRS', 'FR-959-655-C'), part('OCS', 'FR-959-339-A'), part('ICM', 'FR-920-790-E'), part('HUD', 'FR-919-617-A'),
  part('IVI', 'FR-035-842-G'), part('AMP', 'FR-035-223-B'), part('TCU', 'FR-035-284-C'), part('RFA', 'FR-937-049-A'),
  part('KEY', 'FR-959-435-B'), part('IMM', 'FR-953-234-A'), part('HVC', 'FR-907-044-D'), part('FAN', 'FR-820-521-A'),
  part('DDM', 'FR-959-793-B'), part('PDM', 'FR-959-792-B'), part('RLD', 'FR-959-795-A'), part('RRD', 'FR-959-794-A'),
  part('TGM', 'FR-959-107-A'), part('SUN', 'FR-877-795-A'), part('WIP', 'FR-955-119-B'), part('RLS', 'FR-955-559-C'),
  part('HLL', 'FR-941-571-D'), part('HLR', 'FR-941-572-D'), part('TLL', 'FR-945-081-A'), part('TLR', 'FR-945-082-A'),
  part('SEL', 'FR-959-760-B'), part('SER', 'FR-959-761-B'), part('TPM', 'FR-907-273-A'), part('PDC', 'FR-919-283-C'),
  part('CAF', 'FR-980-653-E'), part('CAR', 'FR-980-556-A'), part('RAF', 'FR-907-541-F'), part('RAL', 'FR-907-566-C'),
  part('RAR', 'FR-907-567-C'), part('LID', 'FR-907-217-A'), part('ADC', 'FR-907-105-H'), part('BMS', 'FR-915-184-D'),
  part('OBC', 'FR-915-681-C'), part('DCD', 'FR-959-663-B'), part('INV', 'FR-907-121-E'), part('CHG', 'FR-971-568-A'),
  part('VCU', 'FR-907-025-D'), part('DLC', 'FR-972-695-A'),
];

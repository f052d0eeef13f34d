import { expect, it } from 'vitest';
import { isVin, systemRandom } from '@fleetroot/core';
import { parts } from '../src/line/parts.ts';
import { planVehicles } from '../src/line/vehicles.ts';

it.each([
  { ecus: 1, sizes: [1] },
  { ecus: 50, sizes: [50] },
  { ecus: 51, sizes: [50, 1] },
  { ecus: 1000, sizes: Array.from({ length: 20 }, () => 50) },
])('$ecus ECUs in vehicles of $sizes', ({ ecus, sizes }) => {
  const vehicles = planVehicles(ecus, systemRandom);
  expect(vehicles.map((vehicle) => vehicle.ecus.length)).toEqual(sizes);
  expect(vehicles.every((vehicle) => isVin(vehicle.vin))).toBe(true);
  expect(new Set(vehicles.map((vehicle) => vehicle.vin)).size).toBe(sizes.length);
  const all = vehicles.flatMap((vehicle) => vehicle.ecus);
  expect(new Set(all.map((ecu) => ecu.serial)).size).toBe(ecus);
});

it('fits each part once', () => {
  expect(parts).toHaveLength(50);
  expect(new Set(parts.map((part) => part.name)).size).toBe(50);
  expect(new Set(parts.map((part) => part.partNumber)).size).toBe(50);
});

it('builds other vehicles in the next run', () => {
  const [first] = planVehicles(50, systemRandom);
  const [second] = planVehicles(50, systemRandom);
  expect(first?.vin).not.toBe(second?.vin);
});

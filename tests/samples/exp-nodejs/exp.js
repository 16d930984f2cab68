// e to the power of x by its Taylor series, 1 + x + x²/2! + x³/3! + ...: exp.js X
const x = Number(process.argv[2]);
let term = 1;
let sum = 1;
for (let n = 1; n < 1000 && Math.abs(term) > Number.EPSILON * Math.abs(sum); n += 1) {
  term *= x / n;
  sum += term;
  if (n % 5 === 0) console.error(`${n} terms: ${sum}`);
}
console.log(sum);

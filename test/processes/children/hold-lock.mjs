// Holds SQLite's write lock, says so, and lets go when a line comes in.
import Database from 'better-sqlite3';

const database = new Database(process.argv[2]);
database.exec('begin immediate');
console.log('held');
process.stdin.once('data', () => {
  database.exec('rollback');
  database.close();
  process.exit();
});

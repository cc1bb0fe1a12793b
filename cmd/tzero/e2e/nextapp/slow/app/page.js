import Link from "next/link";

export default function Page() {
  return (
    <main>
      <h1>Slow</h1>
      <Link href="/stream">A page that comes in parts</Link>
    </main>
  );
}
